"""Keys of what learns: pretraining, SFT, the reward model, PPO."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from alignloop.params.section import Count, Positive, Section, Share, Whole

Guarded = Literal[
    "max_kl_per_response_nats",
    "min_kl_per_response_nats",
    "min_entropy_per_token_nats",
    "min_distinct_2",
    "min_ended",
    "max_held_out_fall",
]


class CheckpointEvery(Section):
    """Optimiser steps, and steps of PPO."""

    pretrain: Count
    sft: Count
    reward: Count
    ppo: Count


class Pretrain(Section):
    vocabulary: Count
    layers: Count
    width: Count
    heads: Count
    context: Count
    epochs: Positive
    documents_per_step: Count
    learning_rate: Positive
    warmup: Share
    weight_decay: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _heads_are_of_one_even_width(self) -> "Pretrain":
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width: {self.width} is no multiple of 2 · {self.heads} heads, whose parts are turned in pairs by position"
            )
        return self


class Sft(Section):
    epochs: Positive
    demonstrations_per_step: Count
    learning_rate: Positive
    warmup: Share
    assistant_turns: Literal["all", "last"]
    pretrain_share: Annotated[float, Field(ge=0, lt=1)]
    packing: bool
    checks: Count
    reward_model: str | None
    check_prompts: Count
    more: str | None

    @model_validator(mode="after")
    def _reward_model_is_there_before(self) -> "Sft":
        if self.reward_model and self.reward_model.removeprefix("./").startswith("models/"):
            raise ValueError(
                f"reward_model: {self.reward_model} is made after SFT, by this very run; copy one out of models/, to data/ say"
            )
        return self


class Reward(Section):
    epochs: Positive
    rankings_per_step: Count
    learning_rate: Positive
    warmup: Share
    weight_decay: Annotated[float, Field(ge=0)]
    ties: Literal["skip", "rao_kupper"]
    margin: Annotated[float, Field(ge=0)]
    gain: bool
    held_out: bool

    @model_validator(mode="after")
    def _ties_need_room(self) -> "Reward":
        if self.ties == "rao_kupper" and not self.margin:
            raise ValueError(
                "ties: rao_kupper needs a margin above 0: of two equally good answers it expects tanh(margin / 2) to tie"
            )
        return self


class Kl(Section):
    """`target_kl_per_response_nats: null` keeps the coefficient fixed."""

    coef: Annotated[float, Field(ge=0)]
    target_kl_per_response_nats: Positive | None
    horizon_responses: Count


class Lora(Section):
    """Adapters of this rank, scaled by alpha / rank."""

    rank: Count
    alpha: Count


class Guard(Section):
    limit: float
    strength: Literal["warn", "stop", "fail"]


class Ppo(Section):
    steps: Count
    prompts_per_step: Count
    responses_per_prompt: Count
    minibatches: Count
    epochs: Count
    advantages: Literal["gae", "rloo", "grpo"]
    learning_rate: Positive
    value_learning_rate: Positive
    warmup_steps: Whole
    final_learning_rate: Share
    value_warmup_steps: Whole
    adam_betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
    adam_epsilon: Positive
    gamma: Share
    lam: Share
    clip: Positive
    value_clip: Positive
    value: Literal["reward", "trunk"]
    value_coef: Positive
    max_grad_norm: Positive
    whiten_rewards: bool
    missing_eos_score: float | None
    kl: Kl
    guards: dict[Guarded, Guard]
    guard_window_steps: Count
    ptx_coef: Annotated[float, Field(ge=0)]
    ptx_documents_per_step: Whole
    ema_decay: Share
    reference: Literal["model", "adapter"]
    lora: Lora | None
    precision: Literal["fp32", "bf16"]
    gradient_checkpointing: bool
    keep_rollouts_every: Count

    @model_validator(mode="after")
    def _policy_learns(self) -> "Ppo":
        if self.value_warmup_steps >= self.steps:
            raise ValueError(
                f"value_warmup_steps {self.value_warmup_steps} leave none of the {self.steps} steps for the policy"
            )
        if self.reference == "adapter" and self.lora is None:
            raise ValueError(
                "reference: adapter is the policy with its LoRA adapters off; set lora, e.g. {rank: 8, alpha: 16}"
            )
        return self
