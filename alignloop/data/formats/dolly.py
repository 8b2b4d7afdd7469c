"""Databricks' Dolly: instructions and answers written by employees. https://huggingface.co/datasets/databricks/databricks-dolly-15k

The context stands below the instruction after an empty line. Marks of citations, [1], stay where they are.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Found, Item, each, has
from alignloop.data.formats.record_builders import demonstration


class Task(BaseModel):
    instruction: str
    context: str | None = ""
    response: str
    category: str = ""


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Task, lambda task: [_demonstration(task, source)])


def _demonstration(task: Task, source: str) -> Found:
    question = "\n\n".join(part for part in (task.instruction.strip(), (task.context or "").strip()) if part)
    turns = [("user", question), ("assistant", task.response)]
    return demonstration("dolly", turns, source, user=task.instruction.strip(), category=task.category)


DOLLY = Format(
    "{instruction, context, response, category}",
    lambda row: has(row, "instruction", "context", "response"),
    _read,
)
