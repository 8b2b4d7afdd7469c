"""The policy's distribution over the next token, and what is read of it: log-probabilities and entropies.

A pass has N × V logits, several megabytes on a CPU, and each operation on all of them goes through memory.
So what is done with them is done for a few rows at a time, which stay in a core's cache, and for the backward
pass one tensor of that size is kept instead of six. No bit of a result depends on the number of rows.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

ROWS = 32  # of logits at a time, on a CPU


def log_distribution(logits: Tensor, allowed: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (…, V) over the allowed tokens (V,), for both sampling and training."""
    forbidden = (~allowed).nonzero().squeeze(1).to(logits.device)
    scaled = logits.float() / temperature
    return torch.log_softmax(scaled.index_fill_(-1, forbidden, float("-inf")), dim=-1)


def chosen_logprobs(logits: Tensor, targets: Tensor, allowed: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (N,) of targets (N,) under logits (N, V), without gradients."""
    with torch.no_grad():
        parts = [
            log_distribution(logits[rows], allowed, temperature).gather(1, targets[rows, None])
            for rows in rows_at_a_time(logits)
        ]
    return torch.cat(parts).squeeze(1)


def token_logprobs(
    logits: Tensor, targets: Tensor, allowed: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N,) of targets (N,) under logits (N, V), and each entropy (N,), in nats.

    Entropies have no gradient.
    """
    logprobs, entropies = _TokenLogprobs.apply(logits, targets, allowed, temperature)
    return logprobs, entropies


class _TokenLogprobs(torch.autograd.Function):
    """`token_logprobs`, which keeps the log-distributions (N, V) for its gradient and nothing else."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, allowed: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        distributions = torch.empty(logits.shape, device=logits.device)
        entropies = torch.empty(len(logits), device=logits.device)
        lowest = torch.finfo(
            distributions.dtype
        ).min  # times probability 0: unlike −∞, not a number that is none
        for rows in rows_at_a_time(logits):
            distribution = log_distribution(logits[rows], allowed, temperature)
            entropies[rows] = -(distribution.exp() * distribution.clamp(min=lowest)).sum(-1)
            distributions[rows] = distribution
        ctx.mark_non_differentiable(entropies)
        ctx.save_for_backward(distributions, targets)
        ctx.temperature, ctx.dtype = temperature, logits.dtype
        return distributions.gather(1, targets[:, None]).squeeze(1), entropies

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """The gradient (N, V) of logits: g · (1 of the target − probability) / temperature."""
        distributions, targets = ctx.saved_tensors
        of_logits = torch.empty(distributions.shape, dtype=ctx.dtype, device=distributions.device)
        for rows in rows_at_a_time(distributions):
            part = torch.zeros_like(distributions[rows])
            part.scatter_(1, targets[rows, None], gradients[0][rows, None])
            part = torch.ops.aten._log_softmax_backward_data(part, distributions[rows], -1, part.dtype)
            of_logits[rows] = part / ctx.temperature
        return of_logits, None, None, None


def rows_at_a_time(logits: Tensor) -> Iterator[slice]:
    """Slices of the rows of logits (N, V); a GPU takes all at once."""
    count = ROWS if logits.device.type == "cpu" else max(len(logits), 1)
    return (slice(start, start + count) for start in range(0, len(logits), count))
