"""Alpaca and the many data sets in its format: instructions with a model's responses.

https://github.com/tatsu-lab/stanford_alpaca

The input follows the instruction after an empty line; a placeholder for an empty input (`<noinput>`) is
removed. LLaMA-Factory's `system` and `history`, a list of [instruction, response], are the turns before.
Numbers are read as texts; `text`, the whole in a project's template, is not read.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    convert_rows,
    has_keys,
    with_changes,
)
from alignloop.data.formats.record_builders import demonstration
from alignloop.data.formats.role_marks import asked
from alignloop.data.formats.unread_fields import unread
from alignloop.data.formats.written_values import WrittenText

NO_INPUT = re.compile(r"<?\s*no\s*-?\s*input\s*>?\.?", re.IGNORECASE)


# a prompt and its response
Exchange = Annotated[list[WrittenText], Field(min_length=2, max_length=2)]


class Task(BaseModel):
    instruction: WrittenText
    input: WrittenText | None = ""
    output: WrittenText
    system: str | None = ""
    history: list[Exchange] | None = None
    text: str | None = None


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Task, lambda task: [_demonstration(task, source)])


def _demonstration(task: Task, source: str) -> Imported:
    input = (task.input or "").strip()
    empty = bool(NO_INPUT.fullmatch(input))
    text = "\n\n".join(part for part in (task.instruction.strip(), "" if empty else input) if part)
    before = [("system", task.system)] if (task.system or "").strip() else []
    for said, response in task.history or ():
        before += [("user", said), ("assistant", response)]
    first = task.history[0][0] if task.history else task.instruction
    turns = [*before, *asked(text), ("assistant", task.output)]
    record = demonstration("alpaca", turns, source, user=first.strip())
    return with_changes(record, "an input that says there is none taken away" if empty else None)


ALPACA = Format(
    "{instruction, input, output}, and system and history",
    lambda row: has_keys(row, "instruction", "output") and not unread(row, Task),
    _read,
)
