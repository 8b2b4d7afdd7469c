"""A score that is a weighted sum of parts: sum of weight · (score − shift), each part known by its name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WeightedScores:
    """The sums (N,) of N responses, and each part's own scores (N,), as its source gave them."""

    total: Tensor
    parts: Mapping[str, Tensor]


@dataclass(frozen=True)
class PartWeight:
    """By what a part counts, and the score on its own scale that counts as 0."""

    weight: float
    shift: float = 0.0


# ids of N prompts and of their responses -> N scores, in any precision
RolloutScore = Callable[[Sequence[list[int]], Sequence[list[int]]], "Tensor | WeightedScores"]


def weighted(parts: Mapping[str, Tensor], weights: Mapping[str, PartWeight]) -> WeightedScores:
    """The weighted sum in double precision, as fp32, in the order of `parts`."""
    total = torch.zeros(len(next(iter(parts.values()))), dtype=torch.float64)
    for name, scores in parts.items():
        total += weights[name].weight * (scores.double() - weights[name].shift)
    return WeightedScores(total.float(), parts)
