"""Which prompts to label next: those on whose responses reward models disagree, and that the policy fails.

`scores` and `others` (P, K) are two reward models' scores of K responses to each of P prompts. Labels of
pairs that models are sure and agree about teach little (query by committee, Seung et al. 1992; uncertainty
sampling, Lewis and Gale 1994).
"""

from itertools import combinations

import torch
from torch import Tensor


def disagreement(scores: Tensor, others: Tensor | None = None) -> Tensor:
    """How little is known of each prompt's order (P,), from 0 to 1, mean over the pairs of its responses.

    With a second reward model: by how much the chances that one response beats the other differ. Without: how
    undecided the chance is, 1 at a half and 0 where it is certain.
    """
    one, other = zip(*combinations(range(scores.shape[1]), 2), strict=True)
    chance = _chance(scores, one, other)
    if others is None:
        return (1 - (2 * chance - 1).abs()).mean(1)
    return (chance - _chance(others, one, other)).abs().mean(1)


def most_wanted(scores: Tensor, others: Tensor | None, count: int) -> list[int]:
    """The places of the `count` prompts that labels are wanted for most, in their own order.

    Prompts are ranked by their disagreement, and by how low the policy's responses score on average; the mean
    of both ranks decides, of equal ones the first.
    """
    unsure, fails = _ranks(disagreement(scores, others)), _ranks(-scores.mean(1))
    wanted = torch.argsort(unsure + fails, descending=True, stable=True)[:count]
    return sorted(wanted.tolist())


def _chance(scores: Tensor, one: tuple[int, ...], other: tuple[int, ...]) -> Tensor:
    return torch.sigmoid(scores[:, list(one)].double() - scores[:, list(other)].double())


def _ranks(values: Tensor) -> Tensor:
    """The rank of each value, 0 the least; equal values share the mean of theirs."""
    below = (values[:, None] > values[None]).sum(1)
    return below.double() + ((values[:, None] == values[None]).sum(1) - 1) / 2
