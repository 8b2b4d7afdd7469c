"""Worker processes that map a function over the pieces of a data set and yield the results in order.

The order of the results, and so the bytes that are written, do not depend on the number of workers.
Workers start only when there is more to do than starting them costs; each imports only what it needs.
They end with the process that owns them, also when that process is killed.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import TypeVar

from alignloop.errors import AlignloopError

A = TypeVar("A")
B = TypeVar("B")
ALONE = 6  # with fewer pieces, starting workers takes longer than doing the work here
MOST = 8  # workers: one process cannot feed more
AHEAD = 2  # pieces that may wait for each worker


class WorkersError(AlignloopError):
    """A worker process ended before its work was done."""


class Workers:
    """A pool of processes, by default one per core that this process may use, and at most MOST."""

    def __init__(self, count: int | None = None) -> None:
        self._count = count or min(
            MOST, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[A], B], pieces: Iterable[A]) -> Iterator[B]:
        """Apply the function to each piece and yield the results in the order of the pieces.

        The function must be importable from a module; an AlignloopError that it raises is raised here.
        """
        pieces = iter(pieces)
        first = list(islice(pieces, ALONE)) if self._pool is None else []
        if self._count == 1 or (self._pool is None and len(first) < ALONE):
            yield from map(function, chain(first, pieces))
            return
        waiting = deque[Future[B]]()
        try:
            for piece in chain(first, pieces):
                waiting.append(self._started().submit(function, piece))
                if len(waiting) > AHEAD * self._count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise WorkersError(
                "a worker process was killed, perhaps for lack of memory; free some memory and run again"
            ) from None

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._count, spawn, _watch)
        return self._pool

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _watch() -> None:
    """Ignore Ctrl-C, which the parent process handles, and end when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(parent: BaseProcess | None) -> None:
    if parent is not None:
        parent.join()
        os._exit(1)
