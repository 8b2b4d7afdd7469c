"""Open-Assistant conversations as QLoRA's evaluation wrote them: `### Human: … ### Assistant:`. https://github.com/artidoro/qlora

The conversation is `input`, the answer to imitate `output`; the preamble in `prompt` is that project's own and is not read. A
conversation's first words are the user, so that its turns fall into one split.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Found, Item, Refused, each, has
from alignloop.data.formats.record_builders import demonstration

TURN = re.compile(r"(?:^|\s)### (Human|Assistant):")
ROLES = {"Human": "user", "Assistant": "assistant"}


class Question(BaseModel):
    input: str
    output: str
    message_id: str


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Question, lambda question: [_demonstration(question, source)])


def _demonstration(question: Question, source: str) -> Found:
    before, *parts = TURN.split(question.input)
    said = [(ROLES[role], text.strip()) for role, text in zip(parts[::2], parts[1::2], strict=True)]
    if before.strip() or not said or said[-1] != ("assistant", ""):
        return Refused("the input is no conversation that waits for the assistant")
    return demonstration("open-assistant", [*said[:-1], ("assistant", question.output)], source)


OASST_QLORA = Format(
    "{input: '### Human: … ### Assistant:', output, message_id}",
    lambda row: has(row, "input", "output", "message_id") and str(row["input"]).startswith("### Human:"),
    _read,
)
