"""The four losses, each as the papers write it. Per-token losses come as sums: any split of a batch adds up to the same gradient."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from alignloop.errors import AlignloopError

MOST_NAMES = 8
SANE = 1e6  # no trained weight comes near
ANY = "lower the learning rate, or look for broken rows in the batch"  # the remedy of what may have any cause
Ties = Literal["skip", "rao_kupper"]


class NonFiniteLoss(AlignloopError):
    """A loss, a gradient, a score or a distribution is NaN or infinite: training on would only destroy the weights.

    `rows` are the places in the batch where it was met, none if it may be any; `names` what these rows are called, once that is known.
    """

    def __init__(self, found: str, remedy: str, rows: Sequence[int] = (), names: Sequence[str] = ()) -> None:
        names = [name for name in names if name]
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        where = f", in {', '.join(names[:MOST_NAMES])}{more}" if names else ""
        super().__init__(f"{found}{where}: {remedy}")
        self.found, self.remedy, self.rows, self.names = found, remedy, rows, names


def finite(loss: Tensor, what: str, rows: Sequence[int] = ()) -> Tensor:
    """`loss` itself; raises NonFiniteLoss naming `what` if it is not a number to learn from."""
    if not torch.isfinite(loss):
        raise NonFiniteLoss(f"{what} is {float(loss.detach())}", ANY, rows)
    return loss


@contextmanager
def naming(names: Sequence[str]) -> Iterator[None]:
    """Let a NonFiniteLoss from within call the rows of its batch by their names; without names it stays as it is."""
    try:
        yield
    except NonFiniteLoss as error:
        known = error.names or ([names[row] for row in error.rows] or names if names else ())
        raise NonFiniteLoss(error.found, error.remedy, names=known) from None


@contextmanager
def at_step(step: int, names: Sequence[str], weights: Iterable[Tensor]) -> Iterator[None]:
    """Let a NonFiniteLoss from within name its step, its rows, and the likely cause, which the weights tell."""
    try:
        with naming(names):
            yield
    except NonFiniteLoss as error:
        sane = all(bool((weight.abs() < SANE).all()) for weight in weights)  # not so where one is NaN
        cause = (
            f"all weights still are numbers: {error.remedy if error.remedy != ANY else 'look at these rows, then at the learning rate'}"
            if sane
            else "weights have left all measure in a step before: lower the learning rate"
        )
        raise NonFiniteLoss(f"step {step}: {error.found}", cause, names=error.names) from None


def language_model_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Summed cross-entropy in nats of targets (N,) under logits (N, V)."""
    return functional.cross_entropy(logits.float(), targets, reduction="sum")


def ranking_loss(scores: Tensor, ranks: Sequence[int], margin: float = 0.0, ties: Ties = "skip") -> Tensor:
    """−log P of what the ranking says of each pair, mean over its pairs: P(better wins) = σ(s_better − s_worse − margin), in nats.

    `scores` (K,) of the K responses, `ranks` with 1 the best. With ties "skip" a tie makes no pair (arXiv 2203.02155, eq. 1; with a margin,
    arXiv 2307.09288, eq. 2). With "rao_kupper" the margin is the gap that labelers can tell, and a tie has what the two wins leave:
    P = (e^{2·margin} − 1)·σ(gap − margin)·σ(−gap − margin) (Rao and Kupper, JASA 1967). A ranking without pairs has loss 0.
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
    """Indices of the better and of the worse response of every pair that the ranking tells apart."""
    pairs = [(a, b) for a in range(len(ranks)) for b in range(len(ranks)) if ranks[a] < ranks[b]]
    return [a for a, _ in pairs], [b for _, b in pairs]


def ties_of(ranks: Sequence[int]) -> tuple[list[int], list[int]]:
    """Indices of both responses of every pair that the ranking ties, each pair once."""
    pairs = [(a, b) for b in range(len(ranks)) for a in range(b) if ranks[a] == ranks[b]]
    return [a for a, _ in pairs], [b for _, b in pairs]


def policy_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip: float
) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate (arXiv 1707.06347, eq. 7), summed over N tokens, and which tokens (N,) the clip holds back."""
    ratio = torch.exp(logprobs - old_logprobs)
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    return torch.maximum(plain, clipped).sum(), clipped > plain


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """½·max of the squared errors of value and of value clipped around its old one, summed over N tokens, and where (N,) the clip acts."""
    moved = values - old_values
    near = old_values + moved.clamp(-clip, clip)
    plain, clipped = (values - returns) ** 2, (near - returns) ** 2
    return 0.5 * torch.maximum(plain, clipped).sum(), (clipped > plain) & (
        moved.abs() > clip
    )  # rounding moves `near` as well
