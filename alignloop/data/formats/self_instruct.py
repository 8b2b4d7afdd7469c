"""Self-Instruct's seed tasks and user-oriented instructions, written by experts. https://github.com/yizhongw/self-instruct

The instruction and, after an empty line, its input are the prompt; each instance is a demonstration of its own. The task is the user.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alignloop.data.content_ids import identify
from alignloop.data.formats.importer import Format, Item, each, has
from alignloop.records import Demonstration, Message


class Instance(BaseModel):
    input: str
    output: str


class Task(BaseModel):
    instruction: str
    instances: list[Instance]
    is_classification: bool = False


def _sees(row: Any) -> bool:
    return has(row, "instruction", "instances") and isinstance(row["instances"], list)


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(
        path, Task, lambda task: (_demonstration(task, instance, source) for instance in task.instances)
    )


def _demonstration(task: Task, instance: Instance, source: str) -> Demonstration:
    question = "\n\n".join(part for part in (task.instruction.strip(), instance.input.strip()) if part)
    return Demonstration(
        id=identify("self-instruct", question, instance.output),
        messages=(
            Message(role="user", content=question),
            Message(role="assistant", content=instance.output.strip()),
        ),
        user=identify("self-instruct", task.instruction),
        labeler="self-instruct",
        category="classification" if task.is_classification else "instruction",
        source=source,
    )


SELF_INSTRUCT = Format("{instruction, instances: [{input, output}]}", _sees, _read)
