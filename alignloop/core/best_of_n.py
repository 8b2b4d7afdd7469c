"""Best of n (draw n responses, keep the one with the highest score), estimated for every n from one pool.

`scores` (P, N) are those of the pools of P prompts. Responses with equal scores win equally often.
"""

from math import comb, log

import torch
from torch import Tensor


def win_probabilities(scores: Tensor, n: int) -> Tensor:
    """Probability (P, N) that each response is the best of n drawn from its pool without replacement.

    The best of n is among the i lowest with probability C(i, n) / C(N, n). Weighting by these probabilities
    estimates the expectation under best of n without bias, for every n up to N (arXiv 2112.09332, appendix I,
    whose formula is this one for scores without ties). Raises ValueError if n is not within 1 … N.
    """
    below, upto = _below(scores)
    pool = scores.shape[1]
    if not 1 <= n <= pool:
        raise ValueError(
            f"best of {n} cannot be estimated from pools of {pool}; n must be within 1 and {pool}"
        )
    within = torch.tensor([comb(count, n) / comb(pool, n) for count in range(pool + 1)], dtype=torch.float64)
    return (within[upto] - within[below]) / (upto - below)


def expected_value(scores: Tensor, values: Tensor, n: int) -> Tensor:
    """Expected value (P,) of the response with the best of n scores, from the pool's values (P, N)."""
    return (win_probabilities(scores, n) * values).sum(1)


def kl_if_all_differ(n: int) -> float:
    """KL(best of n ‖ policy) in nats per response if no two scores are equal: log n − (n − 1)/n.

    With equal scores it is an upper bound (arXiv 2401.01879).
    """
    return log(n) - (n - 1) / n


def kl_measured(scores: Tensor, n: int) -> Tensor:
    """KL(best of n ‖ policy) (P,) in nats per response, estimated with the pool as the policy's distribution.

    The responses of one score have probability Fⁿ − F₋ⁿ under best of n, where F is the share of the pool
    up to that score and F₋ the share below it. Where a policy repeats itself the estimate is lower than
    `kl_if_all_differ`. For n = N it is about 0.04 nats too low, because the pool is finite.
    """
    below, upto = (part.double() / scores.shape[1] for part in _below(scores))
    likely = upto**n - below**n
    return (likely / (upto - below) * torch.log(likely / (upto - below))).nan_to_num(0.0).mean(1)


def _below(scores: Tensor) -> tuple[Tensor, Tensor]:
    """How many of its pool's scores are lower than each response's, and lower or equal, both (P, N)."""
    order, scores = scores.sort(1).values.contiguous(), scores.contiguous()
    return torch.searchsorted(order, scores), torch.searchsorted(order, scores, right=True)
