"""ShareGPT: conversations with a chat model that people have shared.

https://github.com/lm-sys/FastChat, docs/training.md

A conversation that ends with the model is a demonstration; one that ends with the person is a prompt. Its id
identifies the user, without the number of the piece (`…_0`, `…_17`) if a long conversation was cut.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from alignloop.data.formats.importer import Format, Imported, ImportedRow, Refused, convert_rows, has_keys
from alignloop.data.formats.record_builders import demonstration, prompt

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "system": "system",
}
PIECE = re.compile(r"_[0-9]+$")


class Turn(BaseModel):
    speaker: str = Field(alias="from")
    value: str


class Conversation(BaseModel):
    id: str | int = ""
    conversations: list[Turn]


def _matches(row: Any) -> bool:
    turns = row["conversations"] if has_keys(row, "conversations") else None
    return isinstance(turns, list) and all(has_keys(turn, "from", "value") for turn in turns)


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Conversation, lambda conversation: [_record(conversation, source)])


def _record(conversation: Conversation, source: str) -> Imported:
    if any(turn.speaker not in ROLES for turn in conversation.conversations):
        return Refused("a speaker that is neither person, model nor system: a tool's turn, say")
    turns = [(ROLES[turn.speaker], turn.value) for turn in conversation.conversations]
    user = PIECE.sub("", str(conversation.id))
    if turns and turns[-1][0] == "user":
        return prompt("sharegpt", turns, source, user=user)
    return demonstration("sharegpt", turns, source, user=user)


SHAREGPT = Format("{id, conversations: [{from, value}]}", _matches, _read)
