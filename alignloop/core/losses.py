"""The four losses, each as the papers write it. Per-token losses come as sums: any split of a batch adds up to the same gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from alignloop.errors import AlignloopError


class NonFiniteLoss(AlignloopError):
    """A loss, a gradient, a score or a distribution is NaN or infinite: training on would only destroy the weights."""


def finite(loss: Tensor, what: str) -> Tensor:
    """`loss` itself; raises NonFiniteLoss naming `what` if it is not a number to learn from."""
    if not torch.isfinite(loss):
        raise NonFiniteLoss(f"{what} is {float(loss.detach())}: lower the learning rate, or look for broken rows in the batch")
    return loss


def language_model_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Summed cross-entropy in nats of targets (N,) under logits (N, V)."""
    return functional.cross_entropy(logits, targets, reduction="sum")


def ranking_loss(scores: Tensor, ranks: Sequence[int]) -> Tensor:
    """−log σ(s_better − s_worse), mean over the pairs of one ranking (arXiv 2203.02155, eq. 1).

    `scores` (K,) of the K responses, `ranks` with 1 the best. A tie makes no pair; a ranking of ties alone has loss 0.
    """
    better, worse = pairs_of(ranks)
    if not better:
        return scores.sum() * 0.0
    return -functional.logsigmoid(scores[better] - scores[worse]).mean()


def pairs_of(ranks: Sequence[int]) -> tuple[list[int], list[int]]:
    """Indices of the better and of the worse response of every pair that the ranking tells apart."""
    pairs = [(a, b) for a in range(len(ranks)) for b in range(len(ranks)) if ranks[a] < ranks[b]]
    return [a for a, _ in pairs], [b for _, b in pairs]


def policy_loss(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate (arXiv 1707.06347, eq. 7), summed over N tokens, and which tokens (N,) the clip holds back."""
    ratio = torch.exp(logprobs - old_logprobs)
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    return torch.maximum(plain, clipped).sum(), clipped > plain


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """½·max of the squared errors of value and of value clipped around its old one, summed over N tokens, and where (N,) the clip acts."""
    near = old_values + (values - old_values).clamp(-clip, clip)
    plain, clipped = (values - returns) ** 2, (near - returns) ** 2
    return 0.5 * torch.maximum(plain, clipped).sum(), clipped > plain
