"""Databricks' Dolly: instructions and responses written by employees.

https://huggingface.co/datasets/databricks/databricks-dolly-15k

The context follows the instruction after an empty line. Citation marks, [1], are kept.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Imported, ImportedRow, convert_rows, has_keys
from alignloop.data.formats.record_builders import demonstration
from alignloop.data.formats.role_marks import asked
from alignloop.data.formats.written_values import WrittenText


class Task(BaseModel):
    instruction: WrittenText
    context: WrittenText | None = ""
    response: WrittenText
    category: str | None = ""


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Task, lambda task: [_demonstration(task, source)])


def _demonstration(task: Task, source: str) -> Imported:
    text = "\n\n".join(part for part in (task.instruction.strip(), (task.context or "").strip()) if part)
    turns = [*asked(text), ("assistant", task.response)]
    return demonstration("dolly", turns, source, user=task.instruction.strip(), category=task.category or "")


DOLLY = Format(
    "{instruction, context, response, category}",
    lambda row: has_keys(row, "instruction", "context", "response"),
    _read,
)
