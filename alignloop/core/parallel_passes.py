"""Parallel passes: several passes of a small model at the same time, one thread each.

The operators of a small model are too small to be split among cores. Results come in the order of the
parts, and gradients are summed in that order, so that no bit of a result depends on the number of threads.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from alignloop.core import devices, precision

P = TypeVar("P")
R = TypeVar("R")
_pool: ThreadPoolExecutor | None = None
_threads = 1


def use(threads: int) -> None:
    """Set the number of parallel passes in this process; with one, everything runs in the caller's thread."""
    global _pool, _threads
    if _pool is not None:
        _pool.shutdown()
    _pool, _threads = (ThreadPoolExecutor(threads, "pass") if threads > 1 else None), threads


def in_parallel(work: Callable[[P], R], parts: Sequence[P]) -> Iterator[R]:
    """The results of `work` for all parts, in their order.

    At most one part more than there are threads is submitted at a time. A part is worked in the precision of
    this process.
    """
    # gradient mode is per thread: without it, work under no_grad would record gradients
    with_gradients, device = torch.is_grad_enabled(), devices.current()

    def task(part: P) -> R:
        with torch.set_grad_enabled(with_gradients), precision.autocast(device):
            return work(part)

    if _pool is None or len(parts) < 2:
        yield from map(task, parts)
        return

    pending: deque[Future[R]] = deque()
    try:
        for part in parts:
            pending.append(_pool.submit(task, part))
            if len(pending) > _threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def backward(loss: Callable[[P], tuple[Tensor, R]], parts: Sequence[P], weights: Sequence[Tensor]) -> list[R]:
    """Add the gradient of the summed losses of all parts to the `.grad` of the trainable weights.

    `loss` returns a part's loss and a result; the results of all parts are returned.
    """
    trainable = [weight for weight in weights if weight.requires_grad]

    def added(part: P) -> R:
        value, result = loss(part)
        value.backward(inputs=trainable)
        return result

    if _pool is None:  # each gradient is added as it comes: there is never a second set of them
        return list(in_parallel(added, parts))

    def gradients(part: P) -> tuple[tuple[Tensor | None, ...], R]:
        value, result = loss(part)
        return torch.autograd.grad(value, trainable, allow_unused=True), result

    results: list[R] = []
    for part_gradients, result in in_parallel(gradients, parts):
        for weight, gradient in zip(trainable, part_gradients, strict=True):
            if gradient is not None:
                weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
        results.append(result)
        del part_gradients  # else they would be held beside those of the next part
    return results
