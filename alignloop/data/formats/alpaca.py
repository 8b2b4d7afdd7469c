"""Alpaca and the many data sets in its format: instructions with a model's responses.

https://github.com/tatsu-lab/stanford_alpaca

The input follows the instruction after an empty line; a placeholder for an empty input (`<noinput>`) is
removed.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    convert_rows,
    has_keys,
    with_changes,
)
from alignloop.data.formats.record_builders import demonstration

NO_INPUT = re.compile(r"<?\s*no\s*-?\s*input\s*>?\.?", re.IGNORECASE)


class Task(BaseModel):
    instruction: str
    input: str | None = ""
    output: str


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Task, lambda task: [_demonstration(task, source)])


def _demonstration(task: Task, source: str) -> Imported:
    input = (task.input or "").strip()
    empty = bool(NO_INPUT.fullmatch(input))
    text = "\n\n".join(part for part in (task.instruction.strip(), "" if empty else input) if part)
    record = demonstration(
        "alpaca", [("user", text), ("assistant", task.output)], source, user=task.instruction.strip()
    )
    return with_changes(record, "an input that says there is none taken away" if empty else None)


ALPACA = Format(
    "{instruction, input, output}",
    lambda row: has_keys(row, "instruction", "output", other=("input", "id", "text", "category")),
    _read,
)
