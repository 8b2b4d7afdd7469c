"""The four losses of the method: language model, ranking, clipped policy and clipped value.

Per-token losses are sums, not means: the gradients of the parts of a batch add up to that of the whole batch.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Ties = Literal["skip", "rao_kupper"]


def language_model_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Summed cross-entropy in nats of targets (N,) under logits (N, V)."""
    return functional.cross_entropy(logits.float(), targets, reduction="sum")


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


def pairs_of(ranks: Sequence[int]) -> tuple[list[int], list[int]]:
    """Indices of the better and of the worse response of every pair with different ranks."""
    pairs = [(a, b) for a in range(len(ranks)) for b in range(len(ranks)) if ranks[a] < ranks[b]]
    return [a for a, _ in pairs], [b for _, b in pairs]


def ties_of(ranks: Sequence[int]) -> tuple[list[int], list[int]]:
    """Indices of the two responses of every tied pair, each pair once."""
    pairs = [(a, b) for b in range(len(ranks)) for a in range(b) if ranks[a] == ranks[b]]
    return [a for a, _ in pairs], [b for _, b in pairs]


def policy_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip: float
) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate loss (arXiv 1707.06347, eq. 7), the sum over N tokens, and which are clipped.

    `logprobs`, `old_logprobs` and `advantages` are (N,).
    """
    ratio = torch.exp(logprobs - old_logprobs)
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    return torch.maximum(plain, clipped).sum(), clipped > plain


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """Clipped value loss, summed over N tokens, and the clipped tokens (N,).

    Per token it is ½·max((v − R)², (v_clipped − R)²), where v_clipped stays within `clip` of the old value
    (as in OpenAI's lm-human-preferences). All inputs are (N,).
    """
    moved = values - old_values
    near = old_values + moved.clamp(-clip, clip)
    plain, clipped = (values - returns) ** 2, (near - returns) ** 2
    # `near` also differs by rounding, so compare the move itself
    held = (clipped > plain) & (moved.abs() > clip)
    return 0.5 * torch.maximum(plain, clipped).sum(), held
