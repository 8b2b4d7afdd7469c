"""Corpora as JSON Lines (C4, the Pile, Dolma, FineWeb, …): the text of each row, cut into documents as plain text is."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from alignloop.data.content_ids import identify
from alignloop.data.formats.importer import Format, Found, Item, each, has
from alignloop.data.formats.text import documents

# what is known to stand beside a corpus' text: a row with anything else may be a message, say, and is stated rather than guessed
BESIDE = (
    "id",
    "url",
    "source",
    "meta",
    "metadata",
    "timestamp",
    "date",
    "added",
    "created",
    "version",
    "attributes",
    "title",
    "dump",
)
BESIDE += ("file_path", "language", "language_score", "token_count", "lang")


class Row(BaseModel):
    text: str


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Row, lambda row: _documents(row, source))


def _documents(row: Row, source: str) -> Iterator[Found]:
    lines = ((0, f"{line}\n") for line in row.text.split("\n"))
    yield from (document for _, document in documents(lines, identify("corpus", row.text), source))


CORPUS = Format(
    "{text}, and what is known about it",
    lambda row: has(row, "text", other=BESIDE) and isinstance(row["text"], str),
    _read,
)
