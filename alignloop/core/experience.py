"""Experience of a PPO step: scores, KL, rewards, values, advantages and returns of the drawn responses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.advantages import gae, grpo, rloo, token_rewards, whiten
from alignloop.core.batches import by_length
from alignloop.core.generate import Responses
from alignloop.core.logprobs import frozen_logprobs, response_positions
from alignloop.core.lora import adapters_off
from alignloop.core.metrics import distinct, self_bleu
from alignloop.core.models import hidden_states
from alignloop.core.numeric_checks import NonFiniteLoss
from alignloop.core.parallel_passes import in_parallel
from alignloop.core.ppo_config import PpoConfig
from alignloop.core.reward_model import RewardModel
from alignloop.core.sampler import importance_weights
from alignloop.core.tokens import TokenRules, pad_right
from alignloop.core.weighted_score import RolloutScore, WeightedScores
from alignloop.phases import counted

if TYPE_CHECKING:
    from peft import PeftModel

# ids of N prompts and of their responses -> N scores, in any precision
Score = Callable[[Sequence[list[int]], Sequence[list[int]]], Tensor]
GROUP_ADVANTAGES = {"rloo": rloo, "grpo": grpo}


@dataclass(frozen=True)
class Rollouts:
    """The B responses drawn in one step, with their scores and rewards."""

    prompts: list[list[int]]  # token ids
    responses: list[list[int]]  # token ids
    ended: list[bool]  # whether the end token was drawn
    scores: Tensor  # (B,)
    kl: Tensor  # (B,) in nats, summed over the response
    rewards: Tensor  # (B,) score and KL penalty together
    parts: Mapping[str, Tensor] = field(default_factory=dict)  # (B,) each: of a weighted score, by name
    own: list[list[bool]] | None = None  # which tokens of a response the policy drew; None: all

    @property
    def own_ids(self) -> list[list[int]]:
        """The tokens of each response that the policy drew."""
        if self.own is None:
            return self.responses
        pairs = zip(self.responses, self.own, strict=True)
        return [[token for token, mine in zip(*pair, strict=True) if mine] for pair in pairs]


@dataclass(frozen=True)
class Experience:
    """What policy and value model are trained on, as (B, R) tensors; `mask` is true on response tokens.

    R counts the tokens that the policy drew: between them a row may have a tool's (`own`), which are read but
    have no log-probability, value, advantage or loss.
    """

    rows: list[list[int]]  # token ids of prompt and response
    starts: list[int]  # where the response begins in each row
    mask: Tensor
    logprobs: Tensor
    values: Tensor  # values and returns are zero without a value model
    advantages: Tensor
    returns: Tensor
    weights: Tensor | None = None  # importance weights, where a sampler apart from the policy drew
    own: list[list[bool]] | None = None  # which response tokens of a row the policy drew; None: all

    def own_of(self, picked: Sequence[int]) -> list[list[bool]] | None:
        """The same for some of the rows."""
        return None if self.own is None else [self.own[index] for index in picked]


def compute_experience(
    reference: "PreTrainedModel | PeftModel",
    value: RewardModel | None,
    score: RolloutScore,
    prompts: list[list[int]],
    responses: Responses,
    *,
    kl_coef: float,
    rules: TokenRules,
    config: PpoConfig,
) -> tuple[Rollouts, Experience]:
    """Compute scores, KL, rewards, values, advantages and returns of the drawn responses.

    Raises NonFiniteLoss where a score or a log-probability of the reference is NaN or infinite.
    """
    rows = [prompt + response for prompt, response in zip(prompts, responses.ids, strict=True)]
    starts = [len(prompt) for prompt in prompts]
    own = responses.own
    drawn = responses.ids if own is None else [[each for each in row if each] for row in own]
    mask = pad_right([[1] * len(tokens) for tokens in drawn], 0)[0].bool()
    logprobs = _unflatten(torch.cat(responses.logprobs), mask)
    with torch.no_grad():
        batches = by_length([len(row) for row in rows])

        def per_token(name: str, read: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Tensor:
            """Apply `read`, which gives the values (N,) of a batch's response tokens, to all rows: (B, R)."""

            def of_batch(batch: list[int]) -> Tensor:
                chosen = [rows[index] for index in batch]
                begin = [starts[index] for index in batch]
                mine = None if own is None else [own[index] for index in batch]
                return read(*response_positions(chosen, begin, rules.pad, mine))

            values = torch.zeros_like(logprobs)
            parts = counted(name, in_parallel(of_batch, batches), len(batches))
            for batch, flat in zip(batches, parts, strict=True):
                values[batch] = _unflatten(flat, mask[batch])
            return values

        with adapters_off(reference) as model:

            def of_reference(ids: Tensor, real: Tensor, positions: Tensor, targets: Tensor) -> Tensor:
                states = hidden_states(model.base_model, ids, real)[positions]
                return frozen_logprobs(model, states, targets, rules.allowed, config.temperature)

            reference_logprobs = per_token("reference", of_reference)
        values = torch.zeros_like(logprobs)
        if value is not None:
            values = per_token(
                "values", lambda ids, real, positions, targets: value.per_token(ids, real)[positions]
            )
        scored = score(prompts, responses.ids)
    parts = scored.parts if isinstance(scored, WeightedScores) else {}
    scores = (scored.total if isinstance(scored, WeightedScores) else scored).float()
    _check_finite(scores, reference_logprobs)
    if config.missing_eos_score is not None:
        scores = torch.where(torch.tensor(responses.ended), scores, torch.tensor(config.missing_eos_score))
    kl = (logprobs - reference_logprobs) * mask
    rewards = token_rewards(scores, kl, mask, kl_coef)
    rollouts = Rollouts(
        prompts,
        responses.ids,
        responses.ended,
        scores=scores,
        kl=kl.sum(1),
        rewards=rewards.sum(1),
        parts=parts,
        own=own,
    )
    if config.advantages == "gae":
        scaled = whiten(rewards, mask, shift_mean=False) if config.whiten_rewards else rewards
        advantages, returns = gae(values, scaled, mask, config.gamma, config.lam)
        advantages = whiten(advantages, mask)
    else:
        grouped = GROUP_ADVANTAGES[config.advantages](rollouts.rewards, config.responses_per_prompt)
        advantages, returns = grouped[:, None] * mask, torch.zeros_like(values)
    weights = None
    if responses.sampler_logprobs is not None:
        its = _unflatten(torch.cat(responses.sampler_logprobs), mask)
        weights = importance_weights(logprobs, its, config.sampler_truncate)
    return rollouts, Experience(
        rows,
        starts,
        mask,
        logprobs,
        values=values,
        advantages=advantages,
        returns=returns,
        weights=weights,
        own=own,
    )


def _check_finite(scores: Tensor, reference_logprobs: Tensor) -> None:
    broken = (~torch.isfinite(scores)).nonzero().flatten().tolist()
    if broken:
        raise NonFiniteLoss(
            f"the scores of responses {broken} are not finite",
            "look at the reward model or score function",
            broken,
        )
    broken = (~torch.isfinite(reference_logprobs)).any(1).nonzero().flatten().tolist()
    if broken:
        raise NonFiniteLoss(
            f"the reference's log-probabilities of responses {broken} are not finite",
            "restore the reference's weights",
            broken,
        )


def rollout_metrics(rollouts: Rollouts, experience: Experience, kl_coef: float) -> dict[str, float]:
    """Metrics of a step's rollouts: scores and their parts, rewards, KL, entropy, length and diversity."""
    drawn = rollouts.own_ids
    parts = {f"score_of_{name}": float(scores.mean()) for name, scores in rollouts.parts.items()}
    return parts | {
        "score": float(rollouts.scores.mean()),
        "score_spread": float(rollouts.scores.std(correction=0)),
        "reward": float(rollouts.rewards.mean()),
        "kl": float(rollouts.kl.mean()),
        "kl_coef": kl_coef,
        "entropy": -float((experience.logprobs * experience.mask).sum() / experience.mask.sum()),
        "length": float(experience.mask.sum(1).float().mean()),
        "ended": sum(rollouts.ended) / len(rollouts.ended),
        "distinct_responses": len({tuple(row) for row in drawn}) / len(drawn),
        "distinct_2": distinct(drawn, 2),
        "self_bleu": self_bleu(drawn),
    }


def _unflatten(flat: Tensor, mask: Tensor) -> Tensor:
    """Values (N,), row by row, as a tensor (B, R) that is zero where the mask is false."""
    out = torch.zeros(mask.shape)
    out[mask] = flat
    return out
