"""Open-Assistant conversations as QLoRA's evaluation stores them: `### Human: … ### Assistant:`.

https://github.com/artidoro/qlora

`input` is the conversation and `output` the response to imitate; the preamble in `prompt` belongs to that
project and is not read. A conversation's first message identifies the user, so that its turns are in one
split.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Imported, ImportedRow, Refused, convert_rows, has_keys
from alignloop.data.formats.record_builders import demonstration
from alignloop.data.formats.written_values import WrittenText

TURN = re.compile(r"(?:^|\s)### (Human|Assistant):")
ASIDE = ("prompt", "rank", "text")
ROLES = {"Human": "user", "Assistant": "assistant"}


class Question(BaseModel):
    input: str
    output: WrittenText


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Question, lambda question: [_demonstration(question, source)], ASIDE)


def _demonstration(question: Question, source: str) -> Imported:
    before, *parts = TURN.split(question.input)
    turns = [(ROLES[role], text.strip()) for role, text in zip(parts[::2], parts[1::2], strict=True)]
    if before.strip() or not turns or turns[-1] != ("assistant", ""):
        return Refused("the input is no conversation that waits for the assistant")
    return demonstration("open-assistant", [*turns[:-1], ("assistant", question.output)], source)


OASST_QLORA = Format(
    "{input: '### Human: … ### Assistant:', output, message_id}",
    lambda row: has_keys(row, "input", "output", "message_id") and str(row["input"]).startswith("### Human:"),
    _read,
)
