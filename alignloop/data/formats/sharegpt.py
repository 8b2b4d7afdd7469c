"""ShareGPT: conversations that people had with a chat model and shared. https://github.com/lm-sys/FastChat, docs/training.md

A conversation that ends with the model is a demonstration; one that ends with the person waits for an answer: a prompt. Its id is the
user; ids of the pieces that a long one was cut into (`…_0`, `…_17`) differ in the number only, which does not count.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from alignloop.data.formats.importer import Format, Found, Item, Refused, each, has
from alignloop.data.formats.record_builders import demonstration, prompt

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "bing": "assistant",
}
ROLES |= {"bard": "assistant", "system": "system"}
PIECE = re.compile(r"_[0-9]+$")


class Turn(BaseModel):
    speaker: str = Field(alias="from")
    value: str


class Conversation(BaseModel):
    id: str | int = ""
    conversations: list[Turn]


def _sees(row: Any) -> bool:
    turns = row["conversations"] if has(row, "conversations") else None
    return isinstance(turns, list) and all(has(turn, "from", "value") for turn in turns)


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Conversation, lambda conversation: [_record(conversation, source)])


def _record(given: Conversation, source: str) -> Found:
    if any(turn.speaker not in ROLES for turn in given.conversations):
        return Refused("a speaker that is neither person, model nor system: a tool's turn, say")
    turns = [(ROLES[turn.speaker], turn.value) for turn in given.conversations]
    user = PIECE.sub("", str(given.id))
    if turns and turns[-1][0] == "user":
        return prompt("sharegpt", turns, source, user=user)
    return demonstration("sharegpt", turns, source, user=user)


SHAREGPT = Format("{id, conversations: [{from, value}]}", _sees, _read)
