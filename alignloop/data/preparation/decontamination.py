"""Which records that are to be learned share a run of words with one that is measured: told from their lines, in pieces, by workers."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from alignloop.data.preparation.ngram_overlap import index, overlapping, shared, told
from alignloop.data.preparation.word_hashes import Hashes, Places
from alignloop.data.workers import Workers

AT_ONCE = 2000  # lines
Pair = tuple[Places, Places]


class Overlaps:
    """The runs of words of what is measured, in a file that all workers read, and which learned records share them."""

    def __init__(self, length: int, file: Path, workers: Workers) -> None:
        self._length, self._file, self._workers = length, file, workers
        self._shared: list[Pair] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        self._about = [np.zeros(0, np.int64)]

    def measure(self, lines: Iterable[str]) -> None:
        """Take all that is measured: what people say in its records, or its documents."""
        index(self._workers.map(partial(_measured, self._length), _pieces(lines)), self._file)

    def learn(self, lines: Iterable[str], about: NDArray[np.int64]) -> None:
        """Take the next records that are to be learned, and the number of each one's question; all that is measured has to be known."""
        first = sum(map(len, self._about))
        for count, (records, runs) in self._workers.map(
            partial(_shared, self._length, self._file), _pieces(lines)
        ):
            self._shared.append((records + first, runs))
            first += count
        self._about.append(about)

    def found(self) -> NDArray[np.bool_]:
        """For each learned record whether it shares a run with a measured one that is no common phrase."""
        records, runs = (np.concatenate(parts) for parts in zip(*self._shared, strict=True))
        return overlapping(records, runs, np.concatenate(self._about))


def _measured(length: int, lines: Sequence[str]) -> Hashes:
    return np.unique(
        told(
            [[text for role, text in _texts(line) if role in ("user", None)] for line in lines], length
        ).values
    )


def _shared(length: int, file: Path, lines: Sequence[str]) -> tuple[int, Pair]:
    return len(lines), shared(told([[text for _, text in _texts(line)] for line in lines], length), file)


def _texts(line: str) -> Iterator[tuple[str | None, str]]:
    """All that a record says, and by whom: None for a document."""
    record: dict[str, Any] = from_json(line)
    if (text := record.get("text")) is not None:
        yield None, text
    asked = record.get("prompt", record)
    yield from (
        (None if "text" in record else turn["role"], turn["content"]) for turn in asked.get("messages") or ()
    )
    yield from (("assistant", response) for response in record.get("responses", ()))


def _pieces(lines: Iterable[str]) -> Iterator[list[str]]:
    lines = iter(lines)
    while piece := list(islice(lines, AT_ONCE)):
        yield piece
