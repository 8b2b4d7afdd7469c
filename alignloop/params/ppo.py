"""Parameters of `ppo`: the policy's training, its KL penalty and its guards."""

from typing import Annotated, Literal

from pydantic import Field

from alignloop.params.guards import Guard, Guarded
from alignloop.params.lora import Lora
from alignloop.params.score import Score
from alignloop.params.section import Count, Positive, Section, Share, Whole


class Kl(Section):
    """`target_kl_per_response_nats: null` keeps the coefficient fixed."""

    coef: Annotated[float, Field(ge=0)]
    target_kl_per_response_nats: Positive | None
    horizon_responses: Count


class Ppo(Section):
    """`score: reward` is the round's reward model; else a weighted sum of named parts."""

    score: Score
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
    keep_rollouts_every: Count
