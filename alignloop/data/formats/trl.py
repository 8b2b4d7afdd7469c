"""TRL's formats, standard and conversational: messages, prompts, completions, preferences.

https://huggingface.co/docs/trl/dataset_formats

`messages`, and `prompt` with `completion`, are demonstrations, or prompts if the user speaks last;
`prompt` alone is a prompt; `chosen` and `rejected` are a ranking. Where the prompt is implicit, it is the
turns that both share. A prompt beside whole conversations is all of their prompt, or its first or last turn.
A text that is a transcript (`Human: … Assistant:`) becomes its turns. Turns of weight 0 are not learned.
Scores beside a preference must not contradict it; equal scores tie. The formats do not name the labeler, who
is assumed to be a person. Refused are labels of single responses (there is no comparison), tools and their
calls, and parts of a message that are not text.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, Field

from alignloop.data.formats.hh_rlhf import is_pair
from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    Refused,
    convert_rows,
    has_keys,
    ranks_of,
)
from alignloop.data.formats.learned_turns import Weighted, learned
from alignloop.data.formats.record_builders import Turns, prompt, ranking
from alignloop.data.formats.role_marks import dialogue, response, spoken_turns
from alignloop.data.formats.unread_fields import unread
from alignloop.data.formats.written_values import WrittenFlag, WrittenNumber, WrittenText

# a row with one of these is still TRL's, and refused in its own words
IMPORTANT = ("label", "images", "tools")
ASIDE = ("parallel_tool_calls",)  # a setting of OpenAI's API
SHAPES = (
    ("messages",),
    ("prompt",),
    ("prompt", "messages"),
    ("prompt", "completion"),
    ("prompt", "chosen", "rejected"),
    ("chosen", "rejected"),
)


def _score(side: str) -> Any:
    """A field that holds the score of one side, under any of the names that data sets give it."""
    names = (f"score_{side}", f"{side}_score", f"{side}-rating", f"{side}_rating", f"rating_{side}")
    return Field(default=None, validation_alias=AliasChoices(*names))


class Part(BaseModel):
    type: str
    text: str | None = None


class Turn(Weighted):
    role: str
    content: WrittenText | list[Part] | None = None
    tool_calls: list[Any] | None = None


class Row(BaseModel):
    messages: list[Turn] | None = None
    prompt: WrittenText | list[Turn] | None = None
    completion: WrittenText | list[Turn] | None = None
    chosen: WrittenText | list[Turn] | None = None
    rejected: WrittenText | list[Turn] | None = None
    score_chosen: WrittenNumber | None = _score("chosen")
    score_rejected: WrittenNumber | None = _score("rejected")
    label: WrittenFlag | None = None
    images: list[Any] | None = None
    category: str | None = None
    subset: Any = None  # RewardBench's name of a category

    @property
    def group(self) -> str:
        """The category that the row names."""
        return self.category or (self.subset if isinstance(self.subset, str) else "")


class _Unusable(Exception):
    """The reason why a row is refused."""


def _matches(row: Any) -> bool:
    if (
        not isinstance(row, dict)
        or "text" in row  # our own documents
        or is_pair(row)
        or not all(_is_text_or_turns(row.get(key)) for shape in SHAPES for key in shape)
    ):
        return False
    shown = {name: value for name, value in row.items() if name not in IMPORTANT}
    return any(has_keys(row, *shape) for shape in SHAPES) and not unread(shown, Row, ASIDE)


def _is_text_or_turns(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, str | int | float)
        or (isinstance(value, list) and all(has_keys(turn, "role") for turn in value))
    )


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Row, lambda row: [_record(row, source)], ASIDE)


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
    prompt_turns, completion = _turns(row.prompt, "user"), _turns(row.completion, "assistant")
    weights = [*_weights(row.prompt, prompt_turns), *_weights(row.completion, completion)]
    turns = [*prompt_turns, *completion]
    if row.messages is not None:
        turns = _turns(row.messages, "user")
        weights = _weights(row.messages, turns)
        if not _is_part(prompt_turns, turns) or completion:
            return Refused("the prompt is another than that of the messages")
    elif turns and turns[-1][0] != "user" and row.completion is None and not _is_transcript(row.prompt):
        return Refused("a prompt that ends with the assistant's turn")
    return learned("trl", turns, weights, source, category=row.group)


def _preference(row: Row, source: str) -> Imported:
    if row.images:
        return Refused("pictures")
    if row.label is not None:
        return Refused("a label of one answer beside a comparison of two")
    if row.completion is not None:
        return Refused("a completion beside chosen and rejected")
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
        if not _is_part(stated, prompt_turns):
            return Refused("the prompt is another than that of the chosen and rejected conversations")
    if any([role for role, _ in turns] != ["assistant"] for turns in ends):
        return Refused("chosen and rejected are not one answer each to one prompt, or they are the same")
    responses = [turns[0][1] for turns in ends]
    messages = [text for _, text in _turns(row.messages, "user")]
    if messages and messages != [text for _, text in (*prompt_turns, *ends[0])]:
        return Refused("the messages are another conversation than the chosen one")
    scores = (row.score_chosen, row.score_rejected)
    if scores[0] is not None and scores[1] is not None and scores[0] < scores[1]:
        return Refused("the rejected answer scores higher than the chosen one")
    if responses[0].strip() == responses[1].strip():
        return Refused("chosen and rejected are the same")
    ranks = (1, 1) if None not in scores and scores[0] == scores[1] else ranks_of((1, 2))
    return ranking("trl", prompt("trl", prompt_turns, source, category=row.group), responses, ranks)


def _turns(content: str | list[Turn] | None, role: str) -> Turns:
    """The turns of a field; a plain text is one turn by `role`, a transcript the turns in it."""
    if content is None:
        return []
    if not isinstance(content, str):
        return [(turn.role, _text(turn)) for turn in content]
    turns = spoken_turns(content)
    if turns:
        return turns
    if role == "user":
        return [(role, content)]
    text = response(content)
    if text is None:
        raise _Unusable("other turns stand in the response")
    return [(role, text)]


def _weights(content: str | list[Turn] | None, turns: Turns) -> list[float | None]:
    if content is None or isinstance(content, str):
        return [None] * len(turns)
    return [turn.learned for turn in content]


def _is_transcript(content: str | list[Turn] | None) -> bool:
    return isinstance(content, str) and dialogue(content) is not None


def _is_part(stated: Turns, turns: Turns) -> bool:
    """Whether a prompt is nothing, all of the turns, their beginning, or the user's first or last one."""
    said = [each for each in turns if each[0] == "user"]
    begins = [*stated] == [*turns[: len(stated)]]
    return begins or [*stated] in ([*turns[-len(stated) :]], said[:1], said[-1:])


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
