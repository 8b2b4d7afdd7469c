"""TRL's formats, standard and conversational: messages, prompts, completions, preferences.

https://huggingface.co/docs/trl/dataset_formats

`messages`, and `prompt` with `completion`, are demonstrations, or prompts if the user speaks last;
`prompt` alone is a prompt; `chosen` and `rejected` are a ranking. Where the prompt is implicit, it is the
turns that both share. Scores beside a preference must not contradict it; equal scores tie. The formats do
not name the labeler, who is assumed to be a person. Refused are labels of single responses (there is no
comparison), tool calls, and parts of a message that are not text.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, FiniteFloat

from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    Refused,
    convert_rows,
    has_keys,
    ranks_of,
)
from alignloop.data.formats.record_builders import Turns, demonstration, prompt, ranking

BESIDE = (
    "id",
    "uid",
    "prompt_id",
    "source",
    "dataset",
    "category",
    "score_chosen",
    "score_rejected",
    "label",
    "tools",
    "images",
)
SHAPES = (
    ("messages",),
    ("prompt",),
    ("prompt", "completion"),
    ("prompt", "chosen", "rejected"),
    ("chosen", "rejected"),
)


class Part(BaseModel):
    type: str
    text: str | None = None


class Turn(BaseModel):
    role: str
    content: str | list[Part] | None = None
    tool_calls: list[Any] | None = None


class Row(BaseModel):
    messages: list[Turn] | None = None
    prompt: str | list[Turn] | None = None
    completion: str | list[Turn] | None = None
    chosen: str | list[Turn] | None = None
    rejected: str | list[Turn] | None = None
    score_chosen: FiniteFloat | None = None
    score_rejected: FiniteFloat | None = None
    label: bool | None = None
    images: list[Any] | None = None
    category: str | None = None


class _Unusable(Exception):
    """The reason why a row is refused."""


def _matches(row: Any) -> bool:
    if not isinstance(row, dict) or not all(
        _is_text_or_turns(row.get(key)) for shape in SHAPES for key in shape
    ):
        return False
    beside = (*BESIDE, "messages") if "chosen" in row else BESIDE
    return any(has_keys(row, *shape, other=beside) for shape in SHAPES)


def _is_text_or_turns(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, str)
        or (isinstance(value, list) and all(has_keys(turn, "role") for turn in value))
    )


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Row, lambda row: [_record(row, source)])


def _record(row: Row, source: str) -> Imported:
    is_preference = row.chosen is not None or row.rejected is not None
    try:
        return (_preference if is_preference else _conversation)(row, source)
    except _Unusable as unusable:
        return Refused(str(unusable))


def _conversation(row: Row, source: str) -> Imported:
    if row.label is not None:
        return Refused("a label of one answer compares it with none")
    if row.images:
        return Refused("pictures")
    prompt_turns = _turns(row.prompt, "user") if row.messages is None else _turns(row.messages, "user")
    turns = [*prompt_turns, *_turns(row.completion, "assistant")]
    if turns and turns[-1][0] == "user":
        return prompt("trl", turns, source, category=row.category or "")
    if row.messages is None and row.completion is None:
        return Refused("a prompt that ends with the assistant's turn")
    return demonstration("trl", turns, source, category=row.category or "")


def _preference(row: Row, source: str) -> Imported:
    if row.images:
        return Refused("pictures")
    prompt_turns = _turns(row.prompt, "user")
    ends = [_turns(row.chosen, "assistant"), _turns(row.rejected, "assistant")]
    # both may be whole conversations, which repeat the prompt
    whole = any(turns and turns[0][0] != "assistant" for turns in ends)
    if row.prompt is None or whole:
        shared = next(
            (number for number, pair in enumerate(zip(*ends, strict=False)) if pair[0] != pair[1]),
            min(map(len, ends)),
        )
        stated, prompt_turns = prompt_turns, ends[0][:shared]
        ends = [turns[shared:] for turns in ends]
        if stated and stated != prompt_turns and stated != prompt_turns[-1:]:
            return Refused("the prompt is another than that of the chosen and rejected conversations")
    if any([role for role, _ in turns] != ["assistant"] for turns in ends):
        return Refused("chosen and rejected are not one answer each to one prompt, or they are the same")
    responses = [turns[0][1] for turns in ends]
    scores = (row.score_chosen, row.score_rejected)
    if scores[0] is not None and scores[1] is not None and scores[0] < scores[1]:
        return Refused("the rejected answer scores higher than the chosen one")
    if responses[0].strip() == responses[1].strip():
        return Refused("chosen and rejected are the same")
    ranks = (1, 1) if None not in scores and scores[0] == scores[1] else ranks_of((1, 2))
    return ranking("trl", prompt("trl", prompt_turns, source, category=row.category or ""), responses, ranks)


def _turns(content: str | list[Turn] | None, role: str) -> Turns:
    """The turns of a field; a plain text is one turn by `role`."""
    if content is None:
        return []
    return [(role, content)] if isinstance(content, str) else [(turn.role, _text(turn)) for turn in content]


def _text(turn: Turn) -> str:
    if turn.tool_calls:
        raise _Unusable("calls of tools")
    if isinstance(turn.content, str):
        return turn.content
    if not turn.content or any(part.type != "text" or part.text is None for part in turn.content):
        raise _Unusable("a turn, or a part of it, that is no text")
    return "".join(part.text or "" for part in turn.content)


TRL = Format(
    "{messages}, {prompt}, {prompt, completion}, {prompt, chosen, rejected} or {chosen, rejected}, "
    "of texts or messages",
    _matches,
    _read,
)
