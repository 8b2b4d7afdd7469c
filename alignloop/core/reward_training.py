"""Reward model training: all C(K, 2) pairs of a ranking in one batch element (arXiv 2203.02155, §3.5).

The K responses to a prompt branch from it in one packed row, so that the prompt is computed once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import torch
from torch import Tensor

from alignloop.core.batches import by_length
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.family_check import packs
from alignloop.core.numeric_checks import finite
from alignloop.core.parallel_passes import backward
from alignloop.core.ranking_loss import Ties, ranking_loss
from alignloop.core.reward_metrics import correct_pairs
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import ranked_scores, score
from alignloop.core.train_state import own
from alignloop.core.training_loop import Schedule, Training


@dataclass(frozen=True)
class Comparing:
    """How pairs become a loss: the margin, what ties count, and whether a ranking is one packed row."""

    margin: float
    ties: Ties
    packed: bool


def train(
    model: RewardModel,
    rankings: Sequence[EncodedRanking],
    pad: int,
    *,
    rankings_per_step: int,
    margin: float = 0.0,
    ties: Ties = "skip",
    **schedule: Unpack[Schedule],
) -> Training:
    """A training of the model, in place; the loss is the mean over rankings of `ranking_loss`."""

    packed = packs(model.trunk)

    def learn(chosen: list[int]) -> dict[str, float]:
        part = [rankings[index] for index in chosen]
        loss, right, pairs = _learn(model, part, pad, Comparing(margin, ties, packed))
        return {"loss": loss, "accuracy": right / max(pairs, 1)}

    names = [ranking.name for ranking in rankings]
    return Training(model, len(rankings), learn, rows_per_step=rankings_per_step, names=names, **schedule)


def _learn(
    model: RewardModel, rankings: Sequence[EncodedRanking], pad: int, how: Comparing
) -> tuple[float, float, int]:
    """Add the gradient of the mean loss; returns the loss, the correctly ordered pairs and all pairs."""

    def loss(batch: list[int]) -> tuple[Tensor, tuple[float, float, int]]:
        part = [rankings[index] for index in batch]
        scores, ranks = ranked_scores(model, part, pad, how.packed), [ranking.ranks for ranking in part]
        pairs = zip(scores, ranks, strict=True)
        losses = torch.stack([ranking_loss(*pair, how.margin, how.ties) for pair in pairs])
        mean = finite(losses.sum() / len(rankings), "the ranking loss", batch)
        return mean, (float(mean.detach()), *correct_pairs([score.detach() for score in scores], ranks))

    means, rights, pairs = zip(
        *backward(loss, by_length([len(ranking) for ranking in rankings]), [*model.parameters()]), strict=True
    )
    return sum(means), sum(rights), sum(pairs)


@torch.no_grad()
def normalise(
    model: RewardModel, demonstrations: Sequence[list[int]], pad: int, gain: bool = False
) -> tuple[float, float]:
    """Shift the scores to mean 0 on demonstrations (arXiv 2203.02155, §3.5); returns shift and scale.

    With `gain`, scores are also divided by their standard deviation on demonstrations (arXiv 1909.08593,
    §2.1); without it the scale is 1. Both are stored in the head and its normalisation, so a loaded
    checkpoint gives normalised scores.
    """
    scores = score(model, demonstrations, pad)
    shift, scale = scores.mean(), scores.std(correction=0) if gain else torch.ones(())
    model.normalisation += shift
    if gain:
        # the scores of equal rows may differ by rounding, which depends on a row's place in its pass
        beyond_rounding = scale > 1e-5 * scores.abs().max()
        finite((scale * beyond_rounding).log(), "the logarithm of the spread of scores on demonstrations")
        for part in (model.head.weight, model.head.bias, model.normalisation):
            own_part = own(part)
            own_part /= scale
    return float(shift), float(scale)
