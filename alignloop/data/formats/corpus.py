"""Corpora as JSON Lines (C4, the Pile, Dolma, FineWeb, …): each row's text is split like plain text."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from alignloop.data.content_ids import content_id
from alignloop.data.formats.importer import Format, Imported, ImportedRow, convert_rows, has_keys
from alignloop.data.formats.role_marks import dialogue
from alignloop.data.formats.text import documents

# fields known to accompany the text of a corpus; a row with others may be something else, such as a message,
# and its format must be stated rather than guessed
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
    "file_path",
    "language",
    "language_score",
    "token_count",
    "lang",
)


class Row(BaseModel):
    text: str


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Row, lambda row: _documents(row, source), BESIDE)


def _documents(row: Row, source: str) -> Iterator[Imported]:
    lines = ((0, f"{line}\n") for line in row.text.split("\n"))
    yield from (document for _, document in documents(lines, content_id("corpus", row.text), source))


CORPUS = Format(
    "{text}, and metadata such as url or timestamp",
    lambda row: (
        has_keys(row, "text", other=BESIDE) and isinstance(row["text"], str) and dialogue(row["text"]) is None
    ),
    _read,
)
