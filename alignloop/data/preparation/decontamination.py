"""Finds training records that share word n-grams with evaluation records, on several workers."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from alignloop.data.preparation.ngram_overlap import (
    contaminated_records,
    find_overlaps,
    record_ngrams,
    write_ngram_index,
)
from alignloop.data.preparation.word_hashes import Hashes, Indices
from alignloop.data.workers import Workers

AT_ONCE = 2000  # lines
Pairs = tuple[Indices, Indices]


class Decontaminator:
    """Compares training records with the n-grams of evaluation records.

    The n-grams are in a file that all workers read.
    """

    def __init__(self, length: int, file: Path, workers: Workers) -> None:
        self._length = length
        self._file = file
        self._workers = workers
        self._overlaps: list[Pairs] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        self._prompt_numbers = [np.zeros(0, np.int64)]

    def index_evaluation_records(self, lines: Iterable[str]) -> None:
        """Index the n-grams of all evaluation records: of the users' turns, or of the documents."""
        write_ngram_index(
            self._workers.map(partial(_evaluation_ngrams, self._length), _pieces(lines)), self._file
        )

    def check_training_records(self, lines: Iterable[str], prompt_numbers: NDArray[np.int64]) -> None:
        """Compare the next training records, each with the number of its prompt.

        All evaluation records must have been indexed before.
        """
        first = sum(map(len, self._prompt_numbers))
        compare = partial(_overlaps, self._length, self._file)
        for count, (records, ngrams) in self._workers.map(compare, _pieces(lines)):
            self._overlaps.append((records + first, ngrams))
            first += count
        self._prompt_numbers.append(prompt_numbers)

    def contaminated(self) -> NDArray[np.bool_]:
        """For each training record whether it shares an n-gram that is not a common phrase: (N,)."""
        records, ngrams = (np.concatenate(parts) for parts in zip(*self._overlaps, strict=True))
        return contaminated_records(records, ngrams, np.concatenate(self._prompt_numbers))


def _evaluation_ngrams(length: int, lines: Sequence[str]) -> Hashes:
    texts = [[text for role, text in _texts(line) if role in ("user", None)] for line in lines]
    return np.unique(record_ngrams(texts, length).values)


def _overlaps(length: int, file: Path, lines: Sequence[str]) -> tuple[int, Pairs]:
    texts = [[text for _, text in _texts(line)] for line in lines]
    return len(lines), find_overlaps(record_ngrams(texts, length), file)


def _texts(line: str) -> Iterator[tuple[str | None, str]]:
    """All texts of a record with the roles of their speakers; None for a document."""
    record: dict[str, Any] = from_json(line)
    if (text := record.get("text")) is not None:
        yield None, text
    conversation = record.get("prompt", record)
    for turn in conversation.get("messages") or ():
        yield None if "text" in record else turn["role"], turn["content"]
    responses = [record["response"]] if "response" in record else record.get("responses", ())
    yield from (("assistant", response) for response in responses)


def _pieces(lines: Iterable[str]) -> Iterator[list[str]]:
    lines = iter(lines)
    while piece := list(islice(lines, AT_ONCE)):
        yield piece
