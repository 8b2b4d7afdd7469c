"""Lanes: several passes of a small model at a time, a thread for each, for its operators are too small to be split among the cores.

What comes back stands in the order of the parts, and gradients are summed in it: no bit of a result depends on the number of lanes.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

P = TypeVar("P")
R = TypeVar("R")
_pool: ThreadPoolExecutor | None = None
_lanes = 1


def use(lanes: int) -> None:
    """Work on `lanes` lanes from now on, in this process; on one, everything runs in the caller's thread."""
    global _pool, _lanes
    if _pool is not None:
        _pool.shutdown()
    _pool, _lanes = (ThreadPoolExecutor(lanes, "lane") if lanes > 1 else None), lanes


def in_lanes(work: Callable[[P], R], parts: Sequence[P]) -> Iterator[R]:
    """`work` of each part, in their order; at most one result more than there are lanes waits to be taken."""
    if _pool is None or len(parts) < 2:
        yield from map(work, parts)
        return
    # each thread has switches of its own: without these, work under no_grad would record, and work in bf16 would be in fp32
    with_gradients, mixed, kind = (
        torch.is_grad_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
    )

    def task(part: P) -> R:
        with torch.set_grad_enabled(with_gradients), torch.autocast("cpu", kind, enabled=mixed):
            return work(part)

    going: deque[Future[R]] = deque()
    try:
        for part in parts:
            going.append(_pool.submit(task, part))
            if len(going) > _lanes:
                yield going.popleft().result()
        while going:
            yield going.popleft().result()
    finally:
        for future in going:
            future.cancel()


def backward(loss: Callable[[P], tuple[Tensor, R]], parts: Sequence[P], weights: Sequence[Tensor]) -> list[R]:
    """Add the gradient of the sum of the parts' losses to the weights' `.grad`, but to frozen ones; returns what `loss` returned beside."""
    learned = [weight for weight in weights if weight.requires_grad]

    def gradients(part: P) -> tuple[tuple[Tensor | None, ...], R]:
        value, beside = loss(part)
        return torch.autograd.grad(value, learned, allow_unused=True), beside

    found: list[R] = []
    for parts_gradients, beside in in_lanes(gradients, parts):
        for weight, gradient in zip(learned, parts_gradients, strict=True):
            if gradient is not None:
                weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
        found.append(beside)
    return found
