"""Transcripts: a whole dialogue in one text, each turn behind a mark of its role (role_marks.py).

One that ends with the assistant is a demonstration, one that ends with the user a prompt.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Imported, ImportedRow, convert_rows, has_keys
from alignloop.data.formats.record_builders import demonstration, prompt
from alignloop.data.formats.role_marks import dialogue, spoken_turns
from alignloop.data.formats.unread_fields import unread


class Row(BaseModel):
    text: str


def _matches(row: Any) -> bool:
    return (
        has_keys(row, "text")
        and isinstance(row["text"], str)
        and not unread(row, Row)
        and dialogue(row["text"]) is not None
    )


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Row, lambda row: [_record(row, source)])


def _record(row: Row, source: str) -> Imported:
    turns = spoken_turns(row.text) or [("user", row.text)]
    return (prompt if turns[-1][0] == "user" else demonstration)("transcripts", turns, source)


TRANSCRIPTS = Format(
    "{text: 'Human: … Assistant: …'}, or with ### Human, User:, ChatML's, Llama's, Gemma's or Zephyr's marks",
    _matches,
    _read,
)
