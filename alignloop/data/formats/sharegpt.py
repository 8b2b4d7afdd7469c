"""ShareGPT: conversations with a chat model that people have shared.

https://github.com/lm-sys/FastChat, docs/training.md

A conversation that ends with the model is a demonstration; one that ends with the person is a prompt; one
with `chosen` and `rejected` beside it is a ranking of these two. Its id identifies the user. Long
conversations cut into pieces (`…_0`, `…_17`) share a user only where that is stated, by the format
`sharegpt-pieces`: ids that end in a number are mostly numbers of rows.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    Refused,
    convert_rows,
    has_keys,
)
from alignloop.data.formats.learned_turns import Weighted, learned
from alignloop.data.formats.record_builders import prompt, ranking
from alignloop.data.formats.written_values import WrittenId, WrittenText

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "system": "system",
}
PIECE = re.compile(r"_[0-9]+$")


class Turn(Weighted):
    speaker: str = Field(alias="from")
    value: WrittenText

    @property
    def role(self) -> str:
        """The role in our words; empty for a tool's."""
        return ROLES.get(self.speaker, "")


class Conversation(BaseModel):
    id: WrittenId = ""
    conversations: list[Turn]
    chosen: Turn | list[Turn] | WrittenText | None = None
    rejected: Turn | list[Turn] | WrittenText | None = None
    system: str | None = None
    system_prompt: str | None = None
    category: str | None = None


def _matches(row: Any) -> bool:
    turns = row["conversations"] if has_keys(row, "conversations") else None
    return isinstance(turns, list) and all(has_keys(turn, "from", "value") for turn in turns)


def _user(id: str) -> str:
    return id


def _piece(id: str) -> str:
    return PIECE.sub("", id)


def _read(user: Callable[[str], str], path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Conversation, lambda row: [_record(row, user(row.id), source)])


def _record(row: Conversation, user: str, source: str) -> Imported:
    ends = [_end(row.chosen), _end(row.rejected)]
    if any(not turn.role for turn in (*row.conversations, *ends[0], *ends[1])):
        return Refused("a speaker that is neither person, model nor system: a tool's turn, say")
    turns = [(turn.role, turn.value) for turn in row.conversations]
    systems = {text.strip() for text in (row.system, row.system_prompt) if text and text.strip()}
    if len(systems) > 1 or (systems and turns and turns[0][0] == "system"):
        return Refused("more than one system prompt")
    turns = [*(("system", text) for text in systems), *turns]
    about = {"user": user, "category": row.category or ""}
    if not ends[0] and not ends[1]:
        weights = [None] * len(systems) + [turn.learned for turn in row.conversations]
        return learned("sharegpt", turns, weights, source, **about)
    if [[turn.role for turn in end] for end in ends] != [["assistant"], ["assistant"]]:
        return Refused("chosen and rejected are not one response each to the conversation")
    responses = [end[0].value for end in ends]
    if responses[0].strip() == responses[1].strip():
        return Refused("chosen and rejected are the same")
    return ranking("sharegpt", prompt("sharegpt", turns, source, **about), responses, (1, 2))


def _end(end: Turn | list[Turn] | str | None) -> list[Turn]:
    """The turns of a response, which may be a turn, turns, or a bare text."""
    if isinstance(end, str):
        return [Turn.model_validate({"from": "gpt", "value": end})] if end else []
    return [end] if isinstance(end, Turn) else end or []


SHAREGPT = Format(
    "{id, conversations: [{from, value}]}, and chosen and rejected", _matches, partial(_read, _user)
)
SHAREGPT_PIECES = Format(
    "sharegpt whose ids number the pieces of long conversations, id_0, id_1: to be stated",
    lambda row: False,
    partial(_read, _piece),
)
