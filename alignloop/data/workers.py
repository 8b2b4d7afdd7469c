"""Work on the pieces of a set in processes beside this one, the results in the order of the pieces: equal bytes, however many work.

They start when there is more to do than starting them costs, and each imports what it needs and nothing else. Who holds them ends
them; if that process is killed they end by themselves.
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
ALONE = 6  # pieces that are sooner done here than workers start
MOST = 8  # workers: one process can feed no more
AHEAD = 2  # pieces that each worker may be ahead


class WorkersError(AlignloopError):
    """A worker ended before its work did."""


class Workers:
    """Processes that do pieces of work, as many as this one may use cores."""

    def __init__(self, count: int | None = None) -> None:
        self._count = count or min(
            MOST, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[A], B], pieces: Iterable[A]) -> Iterator[B]:
        """The function of each piece, in their order. It must be one that a module has; it may raise AlignloopError."""
        pieces = iter(pieces)
        few = list(islice(pieces, ALONE)) if self._pool is None else []
        if self._count == 1 or (self._pool is None and len(few) < ALONE):
            yield from map(function, chain(few, pieces))
            return
        waiting = deque[Future[B]]()
        try:
            for piece in chain(few, pieces):
                waiting.append(self._started().submit(function, piece))
                if len(waiting) > AHEAD * self._count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise WorkersError(
                "a process that helped was ended, perhaps for want of memory; make room and run again"
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
    """Leave Ctrl-C to who waits for the results, and end when that process has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(parent: BaseProcess | None) -> None:
    if parent is not None:
        parent.join()
        os._exit(1)
