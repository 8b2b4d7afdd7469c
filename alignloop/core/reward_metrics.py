"""Metrics of a reward model on rankings: accuracy in groups, calibration and correlation with length.

`scores` holds the scores (K,) of each ranking's responses and `ranks` their ranks, 1 the best. A pair is two
responses with different ranks.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from alignloop.core.ranking_pairs import pairs_of

BINS = 10


def correct_pairs(scores: Sequence[Tensor], ranks: Sequence[Sequence[int]]) -> tuple[float, int]:
    """The number of pairs in the order of the rankings (equal scores count a half), and of all pairs."""
    right, pairs = 0.0, 0
    for part, order in zip(scores, ranks, strict=True):
        better, worse = pairs_of(order)
        gaps = part[better] - part[worse]
        right += float((gaps > 0).sum() + 0.5 * (gaps == 0).sum())
        pairs += len(better)
    return right, pairs


def accuracy(scores: Sequence[Tensor], ranks: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The number of pairs, and the share in the order of the rankings (equal scores count a half)."""
    right, pairs = correct_pairs(scores, ranks)
    return {"pairs": pairs, "accuracy": right / pairs if pairs else None}


def by_group(
    scores: Sequence[Tensor], ranks: Sequence[Sequence[int]], groups: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The accuracy on the rankings of each group, by group name."""
    places: dict[str, list[int]] = {name: [] for name in sorted(set(groups))}
    for place, name in enumerate(groups):
        places[name].append(place)
    return {
        name: accuracy([scores[i] for i in chosen], [ranks[i] for i in chosen])
        for name, chosen in places.items()
    }


def by_rank_distance(scores: Sequence[Tensor], ranks: Sequence[Sequence[int]]) -> dict[str, dict[str, Any]]:
    """The accuracy on pairs that are 1, 2, … ranks apart."""
    outcomes: dict[int, list[float]] = {}
    for part, order in zip(scores, ranks, strict=True):
        for better, worse in zip(*pairs_of(order), strict=True):
            outcome = _outcome(float(part[better] - part[worse]))
            outcomes.setdefault(order[worse] - order[better], []).append(outcome)
    return {
        str(distance): {"pairs": len(hits), "accuracy": sum(hits) / len(hits)}
        for distance, hits in sorted(outcomes.items())
    }


def calibration(
    scores: Sequence[Tensor], ranks: Sequence[Sequence[int]], scale: float = 1.0, threshold: float = 0.0
) -> dict[str, Any]:
    """Calibration: the probability given to the higher-scored response, compared with how often it is right.

    The probability is σ(gap − threshold) / (σ(gap − threshold) + σ(−gap − threshold)), with gap the score
    difference times `scale`: that of a win given that there is no tie (`ranking_loss`); at threshold 0 it
    is σ(gap). `bins` are ten equal parts of [0.5, 1], with the mean probability as `chance`.
    `expected_error` is the expected calibration error (arXiv 1706.04599, eq. 3): the mean over bins of
    |chance − share right|, weighted by their pairs.
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
    """Pearson's correlation of a response's length with its score, and with its rank by the labelers.

    All three are centred on their prompt's mean, so that prompts that need long responses do not look like a
    preference for length.
    """
    rows = [[torch.as_tensor(row, dtype=torch.float64) for row in part] for part in (scores, ranks, lengths)]
    score, rank, length = ([float(value) for row in part for value in row - row.mean()] for part in rows)
    return {"score": correlation(score, length), "labelers": correlation([-value for value in rank], length)}


def correlation(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Pearson's correlation of values with mean 0; None where one of them is constant."""
    spread = sqrt(sum(x * x for x in xs) * sum(y * y for y in ys))
    return sum(x * y for x, y in zip(xs, ys, strict=True)) / spread if spread > 1e-12 else None


def _outcome(gap: float) -> float:
    """1 for a correctly ordered pair, ½ for equal scores, else 0."""
    if gap == 0:
        return 0.5
    return 1.0 if gap > 0 else 0.0
