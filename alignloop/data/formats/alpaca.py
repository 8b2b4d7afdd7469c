"""Alpaca: instructions with answers by a model, and its many relatives. https://github.com/tatsu-lab/stanford_alpaca

The input stands below the instruction after an empty line; one that only says that there is none (`<noinput>`) is taken away.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Found, Item, changed, each, has
from alignloop.data.formats.record_builders import demonstration

NOTHING = re.compile(r"<?\s*no\s*-?\s*input\s*>?\.?", re.IGNORECASE)


class Task(BaseModel):
    instruction: str
    input: str | None = ""
    output: str


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Task, lambda task: [_demonstration(task, source)])


def _demonstration(task: Task, source: str) -> Found:
    given = (task.input or "").strip()
    nothing = bool(NOTHING.fullmatch(given))
    question = "\n\n".join(part for part in (task.instruction.strip(), "" if nothing else given) if part)
    made = demonstration(
        "alpaca", [("user", question), ("assistant", task.output)], source, user=task.instruction.strip()
    )
    return changed(made, "an input that says there is none taken away" if nothing else None)


ALPACA = Format(
    "{instruction, input, output}",
    lambda row: has(row, "instruction", "output", other=("input", "id", "text", "category")),
    _read,
)
