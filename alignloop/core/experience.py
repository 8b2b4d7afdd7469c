"""From drawn answers to what PPO learns from: scores, KL, rewards, values, advantages and returns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.advantages import gae, grpo, rloo, token_rewards, whiten
from alignloop.core.batches import by_length
from alignloop.core.generate import Responses
from alignloop.core.logprobs import answer_logprobs, answer_places
from alignloop.core.lora import reading
from alignloop.core.losses import NonFiniteLoss
from alignloop.core.memory import precise
from alignloop.core.metrics import distinct, self_bleu
from alignloop.core.models import RewardModel
from alignloop.core.parallel_passes import in_lanes
from alignloop.core.ppo_config import Settings
from alignloop.core.tokens import pad_right

if TYPE_CHECKING:
    from peft import PeftModel

Score = Callable[
    [Sequence[list[int]], Sequence[list[int]]], Tensor
]  # ids of N prompts and of their answers -> N scores, in any precision
GROUPED = {"rloo": rloo, "grpo": grpo}


@dataclass(frozen=True)
class Rollouts:
    """What a step drew: prompt and answer ids, whether it ended, and scores, KL (nats, summed over the answer) and rewards, each (B,)."""

    prompts: list[list[int]]
    responses: list[list[int]]
    ended: list[bool]
    scores: Tensor
    kl: Tensor
    rewards: Tensor


@dataclass(frozen=True)
class Experience:
    """Everything the updates need, per token in (B, R) tensors; `mask` is true on real answer tokens."""

    rows: list[list[int]]
    starts: list[int]  # where the answer begins in each row
    mask: Tensor
    logprobs: Tensor
    values: Tensor  # values and returns are zero without a value model
    advantages: Tensor
    returns: Tensor


def appraise(
    reference: "PreTrainedModel | PeftModel",
    value: RewardModel | None,
    score: Score,
    prompts: list[list[int]],
    responses: Responses,
    kl_coef: float,
    allowed: Tensor,
    pad: int,
    settings: Settings,
) -> tuple[Rollouts, Experience]:
    """Scores, KL, rewards, values, advantages and returns of what was drawn."""
    rows = [prompt + answer for prompt, answer in zip(prompts, responses.ids, strict=True)]
    starts = [len(prompt) for prompt in prompts]
    mask = pad_right([[1] * len(answer) for answer in responses.ids], 0)[0].bool()
    logprobs = _unflatten(torch.cat(responses.logprobs), mask)
    with torch.no_grad():
        batches = by_length([len(row) for row in rows])

        def per_token(read: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Tensor:
            def seen(batch: list[int]) -> Tensor:
                return read(
                    *answer_places([rows[index] for index in batch], [starts[index] for index in batch], pad)
                )

            found = torch.zeros_like(logprobs)
            for batch, flat in zip(batches, in_lanes(seen, batches), strict=True):
                found[batch] = _unflatten(flat, mask[batch])
            return found

        with precise(settings.precision, logprobs.device), reading(reference) as model:
            reference_logprobs = per_token(
                lambda ids, real, places, targets: answer_logprobs(
                    model, ids, real, places, targets, allowed, settings.temperature
                )[0]
            )
        values = torch.zeros_like(logprobs)
        if value is not None:
            with precise(settings.precision, logprobs.device):
                values = per_token(lambda ids, real, places, targets: value.per_token(ids, real)[places])
        scores = score(prompts, responses.ids).float()
    broken = (~torch.isfinite(scores)).nonzero().flatten().tolist()
    if broken:
        raise NonFiniteLoss(
            f"the scores of answers {broken} are not finite",
            "look at the reward model or score function",
            broken,
        )
    unread = (~torch.isfinite(reference_logprobs)).any(1).nonzero().flatten().tolist()
    if unread:
        raise NonFiniteLoss(
            f"the reference's log-probabilities of answers {unread} are not finite",
            "restore the reference's weights",
            unread,
        )
    if settings.missing_eos_score is not None:
        scores = torch.where(torch.tensor(responses.ended), scores, torch.tensor(settings.missing_eos_score))
    kl = (logprobs - reference_logprobs) * mask
    rewards = token_rewards(scores, kl, mask, kl_coef)
    rollouts = Rollouts(prompts, responses.ids, responses.ended, scores, kl.sum(1), rewards.sum(1))
    if settings.advantages == "gae":
        learned = whiten(rewards, mask, shift_mean=False) if settings.whiten_rewards else rewards
        advantages, returns = gae(values, learned, mask, settings.gamma, settings.lam)
        return rollouts, Experience(rows, starts, mask, logprobs, values, whiten(advantages, mask), returns)
    grouped = GROUPED[settings.advantages](rollouts.rewards, settings.responses_per_prompt)
    return rollouts, Experience(
        rows, starts, mask, logprobs, values, grouped[:, None] * mask, torch.zeros_like(values)
    )


def numbers_of(rollouts: Rollouts, experience: Experience, kl_coef: float) -> dict[str, float]:
    """What a batch of rollouts says about the policy that drew it."""
    return {
        "score": float(rollouts.scores.mean()),
        "score_spread": float(rollouts.scores.std(correction=0)),
        "reward": float(rollouts.rewards.mean()),
        "kl": float(rollouts.kl.mean()),
        "kl_coef": kl_coef,
        "entropy": -float((experience.logprobs * experience.mask).sum() / experience.mask.sum()),
        "length": float(experience.mask.sum(1).float().mean()),
        "ended": sum(rollouts.ended) / len(rollouts.ended),
        "distinct_responses": len({tuple(row) for row in rollouts.responses}) / len(rollouts.responses),
        "distinct_2": distinct(rollouts.responses, 2),
        "self_bleu": self_bleu(rollouts.responses),
    }


def _unflatten(flat: Tensor, mask: Tensor) -> Tensor:
    """(N,) values, row by row, into a (B, R) tensor that is zero where the mask is false."""
    out = torch.zeros(mask.shape)
    out[mask] = flat
    return out
