"""The loss of the reward model on a ranking, over all its pairs."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from alignloop.core.ranking_pairs import pairs_of, ties_of

Ties = Literal["skip", "rao_kupper"]


def ranking_loss(scores: Tensor, ranks: Sequence[int], margin: float = 0.0, ties: Ties = "skip") -> Tensor:
    """Negative log-likelihood of a ranking's comparisons, in nats, mean over its pairs.

    `scores` (K,) are those of the K responses, `ranks` their ranks, 1 the best. P(better wins) = σ(gap −
    margin) with gap = s_better − s_worse. With ties "skip", a tie makes no pair (arXiv 2203.02155, eq. 1;
    with a margin, arXiv 2307.09288, eq. 2). With "rao_kupper", the margin is the smallest gap that labelers
    perceive, and a tie has the remaining probability (e^{2·margin} − 1)·σ(gap − margin)·σ(−gap − margin)
    (Rao and Kupper, JASA 1967). A ranking without pairs has loss 0.
    """
    better, worse = pairs_of(ranks)
    losses = -functional.logsigmoid(scores[better] - scores[worse] - margin)
    if ties == "rao_kupper":
        one, other = ties_of(ranks)
        gap = scores[one] - scores[other]
        tied = (
            math.log(math.expm1(2 * margin))
            + functional.logsigmoid(gap - margin)
            + functional.logsigmoid(-gap - margin)
        )
        losses = torch.cat([losses, -tied])
    return losses.mean() if len(losses) else scores.sum() * 0.0
