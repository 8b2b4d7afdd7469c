"""Proximal policy optimisation of a language model against a score, with a per-token KL penalty and pretraining gradients (PPO-ptx).

One step: draw an answer per prompt, score it, turn score and KL into advantages, then a few minibatch updates of policy and value
model. Policy, reference and learner use one distribution (log_distribution), at the sampling temperature. The score is any function of
prompt and answer ids. Left out: a shared trunk for policy and value, adapters, several devices.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.batches import by_length
from alignloop.core.fit import accumulate
from alignloop.core.generate import Responses, sample
from alignloop.core.kl import AdaptiveKl, FixedKl
from alignloop.core.lanes import backward, in_lanes
from alignloop.core.logprobs import answer_logprobs, answer_places
from alignloop.core.losses import NonFiniteLoss, finite, policy_loss, value_loss
from alignloop.core.models import RewardModel
from alignloop.core.returns import explained_variance, gae, token_rewards, whiten
from alignloop.core.tokens import Encoded, pad_right
from alignloop.errors import AlignloopError

Score = Callable[[Sequence[list[int]], Sequence[list[int]]], Tensor]
RATIO_TOLERANCE = 1e-4  # in fp32


class RatioError(RuntimeError):
    """Sampler and learner disagree about log-probabilities before anything was learned: a bug, or an unsupported model family."""


@dataclass(frozen=True)
class Settings:
    """The numbers of params.yaml's `ppo`, with what decoding shares (see there for units and reasons)."""

    steps: int
    prompts_per_step: int
    minibatches: int
    epochs: int
    learning_rate: float
    value_learning_rate: float
    warmup_steps: int
    value_warmup_steps: int
    gamma: float
    lam: float
    clip: float
    value_clip: float
    max_grad_norm: float
    whiten_rewards: bool
    missing_eos_score: float | None
    ptx_coef: float
    ptx_documents_per_step: int
    ema_decay: float
    temperature: float
    max_new_tokens: int
    batch: int

    def __post_init__(self) -> None:
        if self.minibatches > self.prompts_per_step:
            raise AlignloopError(f"ppo.minibatches ({self.minibatches}) exceeds ppo.prompts_per_step ({self.prompts_per_step}); lower it")


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
class Step:
    """Step `number` (from 1) is done: its metrics and its rollouts."""

    number: int
    metrics: dict[str, float]
    rollouts: Rollouts


@dataclass(frozen=True)
class _Experience:
    """Everything the updates need, per token in (B, R) tensors; `mask` is true on real answer tokens."""

    rows: list[list[int]]
    starts: list[int]  # where the answer begins in each row
    mask: Tensor
    logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


def train(
    policy: PreTrainedModel,
    reference: PreTrainedModel,
    value: RewardModel,
    score: Score,
    prompts: Sequence[list[int]],
    ptx: Sequence[Encoded],
    controller: FixedKl | AdaptiveKl,
    allowed: Tensor,
    end: int,
    pad: int,
    settings: Settings,
    random: np.random.Generator,
    generator: torch.Generator,
) -> Iterator[Step]:
    """Train `policy` and `value` in place; yields after each step. After the last one the policy holds the average of its weights (EMA)."""
    policy_optimiser = torch.optim.AdamW(policy.parameters(), lr=settings.learning_rate, betas=(0.9, 0.95), eps=1e-5, weight_decay=0.0)
    value_optimiser = torch.optim.AdamW(value.parameters(), lr=settings.value_learning_rate, betas=(0.9, 0.95), eps=1e-5, weight_decay=0.0)
    average = [weight.detach().clone() for weight in policy.parameters()]  # of parameters: a state_dict holds tied ones twice
    for model in (policy, reference, value):
        model.eval()  # no dropout anywhere in PPO: eval mode only switches that, gradients flow
    order: list[int] = []
    for number in range(1, settings.steps + 1):
        # 1. rollouts: the next prompts of a reshuffled deck, one answer each from the current policy
        while len(order) < settings.prompts_per_step:
            order += random.permutation(len(prompts)).tolist()
        chosen, order = order[: settings.prompts_per_step], order[settings.prompts_per_step :]
        drawn = [prompts[index] for index in chosen]
        responses = sample(policy, drawn, allowed, end, settings.temperature, settings.max_new_tokens, generator, settings.batch)
        # 2. scores, KL and advantages
        rollouts, experience = _appraise(reference, value, score, drawn, responses, controller.coef, allowed, end, pad, settings)
        # 3. updates at this step's learning rate: linear warm-up, then linear decay to a tenth
        warming = number <= settings.value_warmup_steps  # the value model alone learns: a policy led by wrong values drifts for nothing
        rate = min(number / max(settings.warmup_steps, 1), 1.0) * (1 - 0.9 * (number - 1) / settings.steps)
        for optimiser, peak in ((policy_optimiser, settings.learning_rate), (value_optimiser, settings.value_learning_rate)):
            for group in optimiser.param_groups:
                group["lr"] = peak * rate
        learned = _update(policy, value, policy_optimiser, value_optimiser, experience, ptx, allowed, pad, settings, random, warming)
        with torch.no_grad():
            for mean, weight in zip(average, policy.parameters(), strict=True):
                mean.lerp_(weight, 1 - settings.ema_decay)
        # 4. numbers, then the controller moves
        kl = float(rollouts.kl.mean())
        metrics = {
            "score": float(rollouts.scores.mean()),
            "score_spread": float(rollouts.scores.std(correction=0)),
            "reward": float(rollouts.rewards.mean()),
            "kl": kl,
            "kl_coef": controller.coef,
            "entropy": -float((experience.logprobs * experience.mask).sum() / experience.mask.sum()),
            "length": float(experience.mask.sum(1).float().mean()),
            "ended": sum(responses.ended) / len(responses.ended),
            "distinct_responses": len({tuple(row) for row in responses.ids}) / len(responses.ids),
            "explained_variance": explained_variance(experience.values, experience.returns, experience.mask),
            "learning_rate": settings.learning_rate * rate,
            **learned,
        }
        controller.update(kl, len(drawn))
        yield Step(number, metrics, rollouts)
    with torch.no_grad():
        for mean, weight in zip(average, policy.parameters(), strict=True):
            weight.copy_(mean)


def _appraise(
    reference: PreTrainedModel,
    value: RewardModel,
    score: Score,
    prompts: list[list[int]],
    responses: Responses,
    kl_coef: float,
    allowed: Tensor,
    end: int,
    pad: int,
    settings: Settings,
) -> tuple[Rollouts, _Experience]:
    """Scores, KL, rewards, values, advantages and returns of what was drawn."""
    rows = [prompt + answer for prompt, answer in zip(prompts, responses.ids, strict=True)]
    starts = [len(prompt) for prompt in prompts]
    mask = pad_right([[1] * len(answer) for answer in responses.ids], 0)[0].bool()
    logprobs = _unflatten(torch.cat(responses.logprobs), mask)
    with torch.no_grad():
        reference_logprobs, values = torch.zeros_like(logprobs), torch.zeros_like(logprobs)
        batches = by_length([len(row) for row in rows])

        def seen(batch: list[int]) -> tuple[Tensor, Tensor]:
            ids, real, places, targets = answer_places([rows[index] for index in batch], [starts[index] for index in batch], pad)
            chosen = answer_logprobs(reference, ids, real, places, targets, allowed, settings.temperature)[0]
            return chosen, value.per_token(ids, real)[places]

        for batch, (chosen, found) in zip(batches, in_lanes(seen, batches), strict=True):
            reference_logprobs[batch], values[batch] = _unflatten(chosen, mask[batch]), _unflatten(found, mask[batch])
        scores = score(prompts, responses.ids).float()
    broken = (~torch.isfinite(scores)).nonzero().flatten().tolist()
    if broken:
        raise NonFiniteLoss(f"the scores of answers {broken} of this batch are not finite: look at the reward model or score function")
    if settings.missing_eos_score is not None:
        scores = torch.where(torch.tensor(responses.ended), scores, torch.tensor(settings.missing_eos_score))
    kl = (logprobs - reference_logprobs) * mask
    rewards = token_rewards(scores, kl, mask, kl_coef)
    learned = whiten(rewards, mask, shift_mean=False) if settings.whiten_rewards else rewards
    advantages, returns = gae(values, learned, mask, settings.gamma, settings.lam)
    rollouts = Rollouts(prompts, responses.ids, responses.ended, scores, kl.sum(1), rewards.sum(1))
    return rollouts, _Experience(rows, starts, mask, logprobs, values, whiten(advantages, mask), returns)


def _update(
    policy: PreTrainedModel,
    value: RewardModel,
    policy_optimiser: torch.optim.Optimizer,
    value_optimiser: torch.optim.Optimizer,
    experience: _Experience,
    ptx: Sequence[Encoded],
    allowed: Tensor,
    pad: int,
    settings: Settings,
    random: np.random.Generator,
    warming: bool,
) -> dict[str, float]:
    """`epochs` passes over the experience in fresh minibatches; returns the mean of each metric, and the first minibatch's ratio.

    While `warming`, the policy stays as it is and values are not clipped: they start at what the reward model happens to say in mid-answer.
    """
    seen: list[dict[str, float]] = []
    value_clip = float("inf") if warming else settings.value_clip
    for _ in range(settings.epochs):
        for minibatch in np.array_split(random.permutation(len(experience.rows)), settings.minibatches):
            metrics = _learn(policy, value, experience, minibatch.tolist(), allowed, pad, settings, value_clip)
            if not seen and metrics["ratio_distance"] > RATIO_TOLERANCE:  # not the mean ratio: its expectation is 1 for any two policies
                raise RatioError(f"ratios of the first minibatch are {metrics['ratio_distance']:.6f} from 1: sampler and learner disagree")
            if settings.ptx_coef and len(ptx):
                share = settings.ptx_documents_per_step // (settings.minibatches * settings.epochs)
                documents = [ptx[index] for index in random.integers(0, len(ptx), max(share, 1))]
                metrics["ptx_loss"] = accumulate(policy, documents, pad, settings.ptx_coef)
            for model, optimiser, name in ((policy, policy_optimiser, "grad_norm"), (value, value_optimiser, "value_grad_norm")):
                metrics[name] = float(finite(torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm), name))
                if model is value or not warming:
                    optimiser.step()
                optimiser.zero_grad()
            seen.append(metrics)
    means = {name: sum(metrics[name] for metrics in seen) / len(seen) for name in seen[0]}
    return means | {"ratio_first": seen[0]["ratio"]}


def _learn(
    policy: PreTrainedModel,
    value: RewardModel,
    experience: _Experience,
    minibatch: list[int],
    allowed: Tensor,
    pad: int,
    settings: Settings,
    value_clip: float,
) -> dict[str, float]:
    """Add the gradients of one minibatch, in passes of rows of like length that sum to exactly the gradient of the whole."""
    tokens = int(experience.mask[minibatch].sum())

    def loss(batch: list[int]) -> tuple[Tensor, dict[str, float]]:
        picked = [minibatch[place] for place in batch]
        rows, starts, mask = [experience.rows[i] for i in picked], [experience.starts[i] for i in picked], experience.mask[picked]
        ids, real, places, targets = answer_places(rows, starts, pad)
        old, advantages = experience.logprobs[picked][mask], experience.advantages[picked][mask]
        logprobs, entropy = answer_logprobs(policy, ids, real, places, targets, allowed, settings.temperature)
        policy_part, clipped = policy_loss(logprobs, old, advantages, settings.clip)
        values = value.per_token(ids, real)[places]
        old_values, returns = experience.values[picked][mask], experience.returns[picked][mask]
        value_part, value_clipped = value_loss(values, old_values, returns, value_clip)
        with torch.no_grad():
            ratio = torch.exp(logprobs - old)
            sums = {
                "policy_loss": policy_part,
                "value_loss": value_part,
                "ratio": ratio.sum(),
                "ratio_distance": (ratio - 1).abs().sum(),
                "approx_kl": (ratio - 1 - (logprobs - old)).sum(),
                "clip_fraction": clipped.sum(),
                "value_clip_fraction": value_clipped.sum(),
                "policy_entropy": entropy.sum(),
            }
        mean = finite(policy_part / tokens, "the policy loss") + finite(value_part / tokens, "the value loss")
        return mean, {name: float(part.detach()) / tokens for name, part in sums.items()}

    parts = backward(loss, by_length([len(experience.rows[index]) for index in minibatch]), [*policy.parameters(), *value.parameters()])
    return {name: sum(part[name] for part in parts) for name in parts[0]}


def _unflatten(flat: Tensor, mask: Tensor) -> Tensor:
    """(N,) values, row by row, into a (B, R) tensor that is zero where the mask is false."""
    out = torch.zeros(mask.shape)
    out[mask] = flat
    return out
