"""A part of a benchmark that may take so many seconds and no more."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

R = TypeVar("R")


class BeyondLimit(Exception):
    """The part was not done in time."""


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise BeyondLimit in the block when it has taken so long; a kernel that runs is waited for."""

    def stop(*_: object) -> None:
        raise BeyondLimit

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def within(seconds: float, work: Callable[[], R]) -> R | str:
    """The result of the work, or in words why there is none: time or memory."""
    try:
        with limit(seconds):
            return work()
    except BeyondLimit:
        return f"not done in {seconds:g} s"
    except torch.OutOfMemoryError:
        return "out of memory"
