"""How well a reward model's scores agree with rankings: accuracy, its parts, calibration, and what length has to do with it.

`scores` holds the scores (K,) of each ranking's responses and `ranks` their ranks, 1 the best. A pair is two responses that the ranking
tells apart.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from alignloop.core.losses import pairs_of
from alignloop.core.reward import correct_pairs

BINS = 10


def accuracy(scores: Sequence[Tensor], ranks: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The number of pairs, and the share of them that the scores order likewise (equal scores count a half)."""
    right, pairs = correct_pairs(scores, ranks)
    return {"pairs": pairs, "accuracy": right / pairs if pairs else None}


def by_group(
    scores: Sequence[Tensor], ranks: Sequence[Sequence[int]], groups: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The accuracy on the rankings of each group, by name."""
    places: dict[str, list[int]] = {name: [] for name in sorted(set(groups))}
    for place, name in enumerate(groups):
        places[name].append(place)
    return {
        name: accuracy([scores[i] for i in chosen], [ranks[i] for i in chosen])
        for name, chosen in places.items()
    }


def by_rank_distance(scores: Sequence[Tensor], ranks: Sequence[Sequence[int]]) -> dict[str, dict[str, Any]]:
    """The accuracy on pairs that are 1, 2, … ranks apart."""
    found: dict[int, list[float]] = {}
    for part, order in zip(scores, ranks, strict=True):
        for better, worse in zip(*pairs_of(order), strict=True):
            found.setdefault(order[worse] - order[better], []).append(
                _right(float(part[better] - part[worse]))
            )
    return {
        str(distance): {"pairs": len(hits), "accuracy": sum(hits) / len(hits)}
        for distance, hits in sorted(found.items())
    }


def calibration(
    scores: Sequence[Tensor], ranks: Sequence[Sequence[int]], scale: float = 1.0, threshold: float = 0.0
) -> dict[str, Any]:
    """Is the reward model right as often as it says? The chance that it gives to the response it favours, against how often it is right.

    The chance is σ(gap − threshold) / (σ(gap − threshold) + σ(−gap − threshold)) of a gap of scores times `scale`: that of a win where
    there is no tie (`ranking_loss`); σ(gap) at threshold 0. `bins` are ten equal parts of [0.5, 1]; `expected_error` is the mean of
    |chance − share right| over them, weighed by their pairs (expected calibration error, arXiv 1706.04599, eq. 3).
    """
    gaps = [
        part[better] - part[worse]
        for part, order in zip(scores, ranks, strict=True)
        for better, worse in [pairs_of(order)]
    ]
    gap = scale * torch.cat(gaps).double() if gaps else torch.empty(0)
    right = (gap > 0).double() + 0.5 * (gap == 0)
    chance = torch.sigmoid(
        torch.nn.functional.logsigmoid(gap.abs() - threshold)
        - torch.nn.functional.logsigmoid(-gap.abs() - threshold)
    )
    place = ((chance - 0.5) * 2 * BINS).long().clamp(max=BINS - 1)
    bins = [
        {"pairs": int(mine.sum()), "chance": float(chance[mine].mean()), "right": float(right[mine].mean())}
        for mine in (place == number for number in range(BINS))
        if mine.any()
    ]
    error = (
        sum(each["pairs"] * abs(each["chance"] - each["right"]) for each in bins) / len(gap)
        if len(gap)
        else None
    )
    return {"expected_error": error, "bins": bins}


def length_correlation(
    scores: Sequence[Tensor], ranks: Sequence[Sequence[int]], lengths: Sequence[Sequence[int]]
) -> Mapping[str, float | None]:
    """Pearson's correlation of an answer's length with its score, and with the labelers' order, each among the answers to one prompt.

    All three are taken as distances from their prompt's mean, so that prompts that ask for much do not pass for a taste for length.
    """
    inside = [
        [torch.as_tensor(row, dtype=torch.float64) for row in part] for part in (scores, ranks, lengths)
    ]
    score, rank, length = ([float(value) for row in part for value in row - row.mean()] for part in inside)
    return {"score": correlation(score, length), "labelers": correlation([-value for value in rank], length)}


def correlation(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Pearson's correlation of values that are centred at 0; None where one of them never moves."""
    spread = sqrt(sum(x * x for x in xs) * sum(y * y for y in ys))
    return sum(x * y for x, y in zip(xs, ys, strict=True)) / spread if spread > 1e-12 else None


def _right(gap: float) -> float:
    return 1.0 if gap > 0 else 0.5 if gap == 0 else 0.0
