"""The updates of a PPO step: minibatch gradients of policy and value model, and the optimiser steps."""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alignloop.core import precision
from alignloop.core.batches import by_length
from alignloop.core.experience import Experience
from alignloop.core.lm_training import accumulate_gradients
from alignloop.core.logprobs import policy_logprobs, response_positions
from alignloop.core.models import hidden_states
from alignloop.core.numeric_checks import finite, naming
from alignloop.core.parallel_passes import backward
from alignloop.core.ppo_config import PpoConfig
from alignloop.core.ppo_losses import policy_loss, value_loss
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import Encoded, TokenRules
from alignloop.phases import phase

RATIO_TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2}  # mean distance from 1; bf16 has eight significant bits


class RatioError(RuntimeError):
    """Sampling and training disagree on log-probabilities before the first update.

    This is a bug, or an unsupported model family.
    """


def update(
    policy: PreTrainedModel,
    value: RewardModel | None,
    experience: Experience,
    *,
    optimisers: Mapping[str, torch.optim.Optimizer],
    ptx: Sequence[Encoded],
    rules: TokenRules,
    config: PpoConfig,
    random: np.random.Generator,
    warming: bool,
) -> dict[str, float]:
    """Train on the experience for `epochs` epochs in new minibatches each.

    Returns the mean of each metric over minibatches, and the first minibatch's ratio. While `warming`, the
    policy is not updated, and values are not clipped, because they start as the reward model's scores in
    mid-response. Raises RatioError where ratios of the first minibatch are not 1.
    """
    seen: list[dict[str, float]] = []
    weights: dict[str, list[Tensor]] = {
        name: optimiser.param_groups[0]["params"] for name, optimiser in optimisers.items()
    }
    value_clip = float("inf") if warming else config.value_clip
    with phase("learner", config.epochs * config.minibatches) as learner:
        for _ in range(config.epochs):
            for minibatch in np.array_split(random.permutation(len(experience.rows)), config.minibatches):
                metrics = _minibatch_gradients(
                    policy,
                    value,
                    experience,
                    minibatch.tolist(),
                    weights=[*chain.from_iterable(weights.values())],
                    rules=rules,
                    config=config,
                    value_clip=value_clip,
                )
                if not seen:
                    _check_ratios(metrics["ratio_distance"], RATIO_TOLERANCE[precision.current()])
                if config.ptx_coef and len(ptx):
                    share = config.ptx_documents_per_step // (config.minibatches * config.epochs)
                    documents = [ptx[index] for index in random.integers(0, len(ptx), max(share, 1))]
                    with naming([document.name for document in documents]):
                        metrics["ptx_loss"] = accumulate_gradients(
                            policy, documents, rules.pad, config.ptx_coef
                        )
                for name, optimiser in optimisers.items():
                    norm = "grad_norm" if name == "policy" else "value_grad_norm"
                    metrics[norm] = float(
                        finite(nn.utils.clip_grad_norm_(weights[name], config.max_grad_norm), norm)
                    )
                    if name == "value" or not warming:
                        optimiser.step()
                    optimiser.zero_grad()
                seen.append(metrics)
                learner.advance()
    means = {name: sum(metrics[name] for metrics in seen) / len(seen) for name in seen[0]}
    return means | {"ratio_first": seen[0]["ratio"]}


def _check_ratios(distance: float, tolerance: float) -> None:
    """`distance` is the mean of |ratio − 1|: the mean ratio is 1 in expectation for any two policies."""
    if distance > tolerance:
        raise RatioError(
            f"ratios of the first minibatch are {distance:.6f} from 1: sampling and training disagree"
        )


def _minibatch_gradients(
    policy: PreTrainedModel,
    value: RewardModel | None,
    experience: Experience,
    minibatch: list[int],
    *,
    weights: Sequence[Tensor],
    rules: TokenRules,
    config: PpoConfig,
    value_clip: float,
) -> dict[str, float]:
    """Add one minibatch's gradients to the weights', and return its metrics per token.

    Rows of similar length share a pass; the passes' gradients sum to exactly the gradient of the whole
    minibatch.
    """
    tokens = int(experience.mask[minibatch].sum())
    shared = value is not None and value.trunk is policy.base_model

    def loss(batch: list[int]) -> tuple[Tensor, dict[str, float]]:
        picked = [minibatch[place] for place in batch]
        rows, starts = [experience.rows[i] for i in picked], [experience.starts[i] for i in picked]
        mask = experience.mask[picked]
        ids, real, positions, targets = response_positions(rows, starts, rules.pad, experience.own_of(picked))
        old, advantages = experience.logprobs[picked][mask], experience.advantages[picked][mask]
        states = hidden_states(policy.base_model, ids, real)[positions]
        logprobs, entropy = policy_logprobs(policy, states, targets, rules.allowed, config.temperature)
        weights_of_tokens = None if experience.weights is None else experience.weights[picked][mask]
        policy_part, clipped = policy_loss(logprobs, old, advantages, config.clip, weights_of_tokens)
        mean = finite(policy_part / tokens, "the policy loss", picked)
        with torch.no_grad():
            ratio = torch.exp(logprobs - old)
            sums = {
                "policy_loss": policy_part,
                "ratio": ratio.sum(),
                "ratio_distance": (ratio - 1).abs().sum(),
                "approx_kl": (ratio - 1 - (logprobs - old)).sum(),
                "clip_fraction": clipped.sum(),
                "policy_entropy": entropy.sum(),
            }
        if value is not None:
            values = value.read(states) if shared else value.per_token(ids, real)[positions]
            old_values, returns = experience.values[picked][mask], experience.returns[picked][mask]
            value_part, value_clipped = value_loss(values, old_values, returns, value_clip)
            mean = mean + config.value_coef * finite(value_part / tokens, "the value loss", picked)
            sums |= {"value_loss": value_part, "value_clip_fraction": value_clipped.sum()}
        return mean, {name: float(part.detach()) / tokens for name, part in sums.items()}

    parts = backward(loss, by_length([len(experience.rows[index]) for index in minibatch]), weights)
    return {name: sum(part[name] for part in parts) for name in parts[0]}
