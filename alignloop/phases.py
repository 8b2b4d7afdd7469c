"""Phases: what a stage is doing now, how far it is, and how long each kind of work has taken.

A stage reports a step when it is done; a phase tells what happens within a step, before the first and after
the last. Phases are nested: `step 3` has `decoding`, `scores` and others within it. They are opened and
closed by the main thread; any thread may advance one.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

T = TypeVar("T")


class Phase:
    """Work of one kind: `done` of `total` parts, or bytes; without a total nobody knows how far it is."""

    def __init__(
        self, name: str, total: int | None, of: object, began: float, in_bytes: bool = False
    ) -> None:
        self.name, self.total = name, total
        self.in_bytes = in_bytes
        self.began = began
        self.title = name if of is None else f"{name} {of}"
        self.done = 0
        self._lock = Lock()

    def advance(self, parts: int = 1) -> None:
        """Count parts that are done."""
        with self._lock:
            self.done += parts


_open: list[Phase] = []
_seconds: defaultdict[str, float] = defaultdict(float)
_since = time.monotonic()


@contextmanager
def phase(name: str, total: int | None = None, of: object = None, in_bytes: bool = False) -> Iterator[Phase]:
    """The work inside the block, which consists of `total` parts; `of` says which one of its name it is."""
    opened = Phase(name, total, of, _account(), in_bytes)
    _open.append(opened)
    try:
        yield opened
    finally:
        _account()
        _open.remove(opened)


def counted(name: str, parts: Iterable[T], total: int, of: object = None) -> Iterator[T]:
    """Pass `total` parts on, as a phase that is open until the last has been used."""
    with phase(name, total, of) as opened:
        for part in parts:
            yield part
            opened.advance()


def sized(name: str, sizes: Mapping[T, int], of: object = None) -> Iterator[T]:
    """Pass the parts on, as a phase that counts their bytes: as they are read, and then the rest of each."""
    with phase(name, sum(sizes.values()), of, in_bytes=True) as opened:
        for part, size in sizes.items():
            after = opened.done + size
            yield part
            opened.advance(after - opened.done)


def advance_bytes(count: int) -> None:
    """Count bytes that are done in the innermost phase that counts bytes, if one is open."""
    for opened in reversed(_open.copy()):
        if opened.in_bytes:  # a list of a folder's files is read too, and is no part of the total
            opened.advance(count if opened.total is None else min(count, opened.total - opened.done))
            return


def open_phases() -> Sequence[Phase]:
    """The phases that are open now, the outermost first."""
    return tuple(_open)


def seconds() -> Mapping[str, float]:
    """How long each phase has been the innermost one, by its name, since the last `clear`."""
    _account()
    return dict(_seconds)


def clear() -> None:
    """Forget all times."""
    _account()
    _seconds.clear()


def _account() -> float:
    """Add the time since the last call to the innermost phase; returns the time now."""
    global _since
    now = time.monotonic()
    if _open:
        _seconds[_open[-1].name] += now - _since
    _since = now
    return now
