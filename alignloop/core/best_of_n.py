"""Best of n: draw n answers, keep the one that scores best. What it would earn for any n, from one pool of N answers to each prompt.

`scores` (P, N) are those of the pools of P prompts. Equal scores (often equal answers) win equally often.
"""

from math import comb, log

import torch
from torch import Tensor


def chances(scores: Tensor, n: int) -> Tensor:
    """Chance (P, N) of each answer to be the best of n drawn from its pool without putting back.

    The best of n stands among the i lowest with chance C(i, n) / C(N, n), so weighing by it estimates the expectation under best of n
    without bias, for every n up to N at once (arXiv 2112.09332, appendix I, whose formula is this for scores that never tie).
    """
    below, upto = _below(scores)
    pool = scores.shape[1]
    if not 1 <= n <= pool:
        raise ValueError(f"best of {n} cannot be told from pools of {pool}")
    within = torch.tensor([comb(count, n) / comb(pool, n) for count in range(pool + 1)], dtype=torch.float64)
    return (within[upto] - within[below]) / (upto - below)


def expected(scores: Tensor, values: Tensor, n: int) -> Tensor:
    """The value (P,) that the best of n, by score, has on average, from the values (P, N) of the pool."""
    return (chances(scores, n) * values).sum(1)


def kl_if_all_differ(n: int) -> float:
    """KL(best of n ‖ policy) in nats per response where no two answers score alike, log n − (n − 1)/n; else less (arXiv 2401.01879)."""
    return log(n) - (n - 1) / n


def kl_measured(scores: Tensor, n: int) -> Tensor:
    """KL(best of n ‖ policy) (P,) in nats per response, with the pool in the policy's place: a score's answers are F^n − F₋^n likely.

    F and F₋ are the shares of the pool up to that score and below it. A policy that repeats itself stays nearer to itself than the formula
    says. For n = N the pool, being finite, reads low by about 0.04 nats.
    """
    below, upto = (part.double() / scores.shape[1] for part in _below(scores))
    likely = upto**n - below**n
    return (likely / (upto - below) * torch.log(likely / (upto - below))).nan_to_num(0.0).mean(1)


def _below(scores: Tensor) -> tuple[Tensor, Tensor]:
    """How many of its pool score less than each answer, and how many at most as much, both (P, N)."""
    order = scores.sort(1).values.contiguous()
    return torch.searchsorted(order, scores.contiguous()), torch.searchsorted(
        order, scores.contiguous(), right=True
    )
