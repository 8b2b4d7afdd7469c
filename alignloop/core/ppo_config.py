"""The configuration of PPO as one frozen value, with the checks across its fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from alignloop.errors import AlignloopError


@dataclass(frozen=True)
class PpoConfig:
    """The values of `ppo` and `decoding` in params.yaml, where their units and reasons are stated.

    Raises AlignloopError where two values contradict each other.
    """

    steps: int
    prompts_per_step: int
    responses_per_prompt: int
    minibatches: int
    epochs: int
    advantages: Literal["gae", "rloo", "grpo"]
    learning_rate: float
    value_learning_rate: float
    warmup_steps: int
    final_learning_rate: float
    value_warmup_steps: int
    adam_betas: Sequence[float]
    adam_epsilon: float
    gamma: float
    lam: float
    clip: float
    value_clip: float
    value_coef: float
    max_grad_norm: float
    whiten_rewards: bool
    missing_eos_score: float | None
    ptx_coef: float
    ptx_documents_per_step: int
    ema_decay: float
    temperature: float
    max_new_tokens: int
    batch: int
    sampler_truncate: float  # the largest importance weight of a token that a sampler apart drew

    def __post_init__(self) -> None:
        responses = self.prompts_per_step * self.responses_per_prompt
        if self.minibatches > responses:
            product = "ppo.prompts_per_step"
            if self.responses_per_prompt > 1:
                product += " x ppo.responses_per_prompt"
            raise AlignloopError(
                f"ppo.minibatches ({self.minibatches}) exceeds {product} ({responses}); lower it"
            )
        if self.advantages != "gae" and self.responses_per_prompt < 2:
            raise AlignloopError(
                f"ppo.advantages: {self.advantages} compares responses to one prompt; "
                "raise ppo.responses_per_prompt to 2"
            )
        if self.advantages != "gae" and (self.value_warmup_steps or self.whiten_rewards):
            raise AlignloopError(
                f"ppo.advantages: {self.advantages} has no value model and whitens nothing; "
                "set ppo.value_warmup_steps to 0 and ppo.whiten_rewards to false"
            )
