"""Self-Instruct's seed tasks and user-oriented instructions, written by experts.

https://github.com/yizhongw/self-instruct

The prompt is the instruction and, after an empty line, its input; each instance is a demonstration. The task
identifies the user.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alignloop.data.content_ids import content_id
from alignloop.data.formats.importer import Format, ImportedRow, convert_rows, has_keys
from alignloop.data.formats.written_values import WrittenFlag, WrittenText
from alignloop.records import Demonstration, Message


class Instance(BaseModel):
    input: WrittenText | None = ""
    output: WrittenText


class Task(BaseModel):
    instruction: WrittenText
    instances: list[Instance]
    is_classification: WrittenFlag | None = False


def _matches(row: Any) -> bool:
    return has_keys(row, "instruction", "instances") and isinstance(row["instances"], list)


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(
        path,
        Task,
        lambda task: (_demonstration(task, instance, source) for instance in task.instances),
        ("motivation_app",),
    )


def _demonstration(task: Task, instance: Instance, source: str) -> Demonstration:
    text = "\n\n".join(part for part in (task.instruction.strip(), (instance.input or "").strip()) if part)
    return Demonstration(
        id=content_id("self-instruct", text, instance.output),
        messages=(
            Message(role="user", content=text),
            Message(role="assistant", content=instance.output.strip()),
        ),
        user=content_id("self-instruct", task.instruction),
        labeler="self-instruct",
        category="classification" if task.is_classification else "instruction",
        source=source,
    )


SELF_INSTRUCT = Format("{instruction, instances: [{input, output}]}", _matches, _read)
