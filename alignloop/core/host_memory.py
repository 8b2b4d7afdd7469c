"""Memory that the C library keeps after use: given back to the system after long passes.

Passes are of many lengths, so that freed blocks do not fit the next pass, and what a process holds grows from
step to step (a 135M checkpoint under adapters: 2.3 to 2.9 GB in eight steps, and flat when it is given back).
"""

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

LONG = 1.0  # seconds of work: less than a tenth of it is spent on taking the memory again


@contextmanager
def given_back() -> Iterator[None]:
    """After work inside the block that took long, give back what it has freed. No result depends on it."""
    began = time.perf_counter()
    yield
    if time.perf_counter() - began > LONG:
        give_back()


def give_back() -> None:
    """Return the free pages of the C library's heaps to the system; without glibc nothing happens."""
    if trim := _trim():
        trim(0)


@cache
def _trim() -> "ctypes._NamedFuncPointer | None":
    try:
        return ctypes.CDLL(None).malloc_trim  # glibc's
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return None
