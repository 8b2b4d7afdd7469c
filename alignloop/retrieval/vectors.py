"""Vectors of passages: kept in an index, compared with that of a query, fused with the ranking by words.

Standard library only, but for the comparison: most indexes have no vectors.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from alignloop.retrieval.index_file import IndexProblem

TABLE = "CREATE TABLE vectors (number INTEGER PRIMARY KEY, vector BLOB NOT NULL, is_cut INTEGER NOT NULL);"
FROM_RANK = 60  # the k of reciprocal rank fusion: Cormack, Clarke and Büttcher, 2009
FLOAT = "<f4"  # of a vector's numbers
READ = ("*.safetensors", "*.json", "*.txt", "*.model")  # of a checkpoint: weights, configs and the tokenizer


class Vector(NamedTuple):
    """A text's vector of length 1, as little-endian float32; `is_cut`: the text exceeded the context."""

    numbers: bytes
    is_cut: bool


class Embedding(Protocol):
    """What gives texts their vectors; `content` is the hash of all that they depend on but the text."""

    @property
    def content(self) -> str: ...

    def vectors(self, texts: Sequence[str]) -> Iterable[Vector]:
        """A vector for each text, in their order."""
        ...


@dataclass(frozen=True)
class Kept:
    """The vectors of an index's passages: an Embedding of these texts, without the checkpoint."""

    content: str
    known: Mapping[str, Vector]

    def vectors(self, texts: Sequence[str]) -> Iterable[Vector]:
        if missing := [text for text in texts if text not in self.known]:
            raise IndexProblem(
                f"the index has no vector of {missing[0][:40]!r}: it is broken; build it again "
                "(`python -m alignloop index`)"
            )
        return [self.known[text] for text in texts]


def content_of(checkpoint: Path) -> str:
    """The hash of a checkpoint's own files; other files beside them, and subfolders, do not count.

    Raises IndexProblem where there is no such folder.
    """
    if not checkpoint.is_dir():
        raise IndexProblem(
            f"{checkpoint}: no such checkpoint folder; name one on this machine, with config.json, "
            "*.safetensors and the tokenizer"
        )
    digest = hashlib.sha256()
    for file in sorted({file for pattern in READ for file in checkpoint.glob(pattern) if file.is_file()}):
        with file.open("rb") as content:
            digest.update(f"{file.name} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def kept(database: sqlite3.Connection, content: str) -> Kept:
    """The vectors that an index has, by the texts of its passages."""
    rows = database.execute("SELECT p.text, v.vector, v.is_cut FROM vectors v JOIN passages p USING (number)")
    return Kept(content, {text: Vector(numbers, bool(is_cut)) for text, numbers, is_cut in rows})


def write(database: sqlite3.Connection, texts: Sequence[str], embedding: Embedding) -> None:
    """Put the vectors of passages into a new index; the first passage has the number 1."""
    rows = (
        (number, each.numbers, int(each.is_cut)) for number, each in enumerate(embedding.vectors(texts), 1)
    )
    database.executemany("INSERT INTO vectors VALUES (?, ?, ?)", rows)


def digest_of(database: sqlite3.Connection) -> str:
    """The hash of all vectors of an index, by which damage is seen."""
    digest = hashlib.sha256()
    rows = database.execute("SELECT number, is_cut, vector FROM vectors ORDER BY number")
    for number, is_cut, numbers in rows:
        digest.update(f"{number} {is_cut} {len(numbers)} ".encode() + numbers)
    return digest.hexdigest()


def nearest(database: sqlite3.Connection, query: bytes) -> list[int]:
    """The numbers of all passages, the one whose vector has the largest cosine with the query's first.

    All are compared, which is exact; equal ones are in the order of their numbers.
    """
    import numpy as np  # a tenth of a second, and a search by words needs none

    rows = database.execute("SELECT number, vector FROM vectors ORDER BY number").fetchall()
    if any(len(vector) != len(query) for _, vector in rows):
        raise sqlite3.DatabaseError("its vectors are of several lengths")
    vectors = np.frombuffer(b"".join(vector for _, vector in rows), FLOAT).reshape(len(rows), len(query) // 4)
    cosines = np.einsum("ij,j->i", vectors, np.frombuffer(query, FLOAT))  # alike for equal rows; BLAS is not
    return [rows[place][0] for place in np.argsort(-cosines, kind="stable").tolist()]


def fused(*ranked: Sequence[int]) -> list[int]:
    """Rankings of passages as one, by reciprocal rank: 1 / (60 + its rank) from each that has a passage.

    Ranks count from 1; equal sums are in the order of the passages' numbers.
    """
    sums: dict[int, float] = {}
    for ranking in ranked:
        for rank, number in enumerate(ranking, 1):
            sums[number] = sums.get(number, 0.0) + 1 / (FROM_RANK + rank)
    return sorted(sums, key=lambda number: (-sums[number], number))
