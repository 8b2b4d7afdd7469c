"""FastChat's benchmark questions (MT-Bench, Vicuna): prompts of one or two turns.

https://github.com/lm-sys/FastChat

The first turn is the prompt. A second turn would follow a response that does not exist yet: it is
dropped, and the record counts as changed.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, Field

from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    convert_rows,
    has_keys,
    with_changes,
)
from alignloop.data.formats.record_builders import prompt
from alignloop.data.formats.role_marks import asked
from alignloop.data.formats.written_values import WrittenId, WrittenText

ASIDE = ("reference",)  # responses to compare with


class Question(BaseModel):
    question_id: WrittenId = ""
    turns: list[WrittenText] = Field(min_length=1)
    category: str | None = ""


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Question, lambda question: [_prompt(question, source)], ASIDE)


def _prompt(question: Question, source: str) -> Imported:
    record = prompt("fastchat", asked(question.turns[0]), source, category=question.category or "")
    return with_changes(
        record, "later turns left out: no answer stands between them" if len(question.turns) > 1 else None
    )


FASTCHAT = Format(
    "{question_id, category, turns: [text, …]}", lambda row: has_keys(row, "question_id", "turns"), _read
)
