"""Parallel passes: several passes of a model at the same time, one thread each, or dealt among processes.

The operators of a small model are too small to be split among cores. Results come in the order of the
parts, and gradients are summed in that order, so that no bit of a result depends on the number of threads.
Several processes (`core/ranks.py`) sum the gradients of their own parts first, which rounds differently.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from alignloop.core import devices, precision
from alignloop.core.host_memory import given_back

if TYPE_CHECKING:  # brings torch.distributed, which one process does without
    from alignloop.core.ranks import Ranks

P = TypeVar("P")
R = TypeVar("R")
_pool: ThreadPoolExecutor | None = None
_threads = 1
_ranks: "Ranks | None" = None


def use(threads: int) -> None:
    """Set the number of parallel passes in this process; with one, everything runs in the caller's thread."""
    global _pool, _threads
    if _pool is not None:
        _pool.shutdown()
    _pool, _threads = (ThreadPoolExecutor(threads, "pass") if threads > 1 else None), threads


def deal_among(ranks: "Ranks | None") -> None:
    """Deal the passes of this process among these ranks from now on; None: they are all its own."""
    global _ranks
    _ranks = ranks


def ranks() -> "Ranks | None":
    """The ranks among which passes are dealt; None for one process."""
    return _ranks


def is_writer() -> bool:
    """Whether this process writes the stage's files: one process, or rank 0 of several."""
    return _ranks is None or _ranks.rank == 0


def agreed(value: R) -> R:
    """The value in one process; among several that of rank 0, for what may differ: clocks, folders."""
    return value if _ranks is None else _ranks.share(value)


def in_parallel(work: Callable[[P], R], parts: Sequence[P]) -> Iterator[R]:
    """The results of `work` for all parts, in their order.

    At most one part more than there are threads is submitted at a time. A part is worked in the precision of
    this process. Among several processes all of them call this with the same parts, and results have no
    gradients.
    """
    with given_back():
        if _ranks is None:
            yield from _on_threads(_as_a_pass(work), parts)
        else:
            yield from _ranks.in_parallel(_as_a_pass(work), parts, _on_threads)


def _as_a_pass(work: Callable[[P], R]) -> Callable[[P], R]:
    """The work in the precision of passes, and in this thread's gradient mode, whichever thread does it."""
    with_gradients, device = torch.is_grad_enabled(), devices.current()

    def task(part: P) -> R:
        with torch.set_grad_enabled(with_gradients), precision.autocast(device):
            return work(part)

    return task


def _on_threads(task: Callable[[P], R], parts: Sequence[P]) -> Iterator[R]:
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
    with given_back():
        return _backward(loss, parts, weights)


def _backward(
    loss: Callable[[P], tuple[Tensor, R]], parts: Sequence[P], weights: Sequence[Tensor]
) -> list[R]:
    # the backward pass has the precision of its forward pass, operator by operator
    forward = _as_a_pass(loss)
    if _ranks is not None:
        return _ranks.backward(forward, parts, weights, _on_threads)
    trainable = [weight for weight in weights if weight.requires_grad]

    def added(part: P) -> R:
        value, result = forward(part)
        value.backward(inputs=trainable)
        return result

    if _pool is None:  # each gradient is added as it comes: there is never a second set of them
        return [added(part) for part in parts]

    def gradients(part: P) -> tuple[tuple[Tensor | None, ...], R]:
        value, result = forward(part)
        return torch.autograd.grad(value, trainable, allow_unused=True), result

    results: list[R] = []
    for part_gradients, result in _on_threads(gradients, parts):
        for weight, gradient in zip(trainable, part_gradients, strict=True):
            if gradient is not None:
                weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
        results.append(result)
        del part_gradients  # else they would be held beside those of the next part
    return results
