"""Transcripts: whole dialogues in one text, each turn behind a mark of its role.

Read are `Human: … Assistant: …`, `### Human: … ### Assistant: …` (Guanaco), `### Instruction: …`,
`User: … Assistant: …`, ChatML (`<|im_start|>user`) and Llama 2 (`[INST] … [/INST]`). A text is a transcript
if it begins with a mark. One that ends with the assistant is a demonstration, one that ends with the user a
prompt.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Imported, ImportedRow, convert_rows, has_keys
from alignloop.data.formats.record_builders import demonstration, prompt
from alignloop.data.formats.unread_fields import unread

Dialogue = list[tuple[str, str]]


class Style(NamedTuple):
    """The marks of one way to write transcripts: where a turn begins, whose it is, and what ends it."""

    mark: re.Pattern[str]
    roles: dict[str, str]
    ends: tuple[str, ...] = ()


STYLES = (
    Style(
        re.compile(r"###\s*(Human|User|Assistant|System):"),
        {"Human": "user", "User": "user", "Assistant": "assistant", "System": "system"},
    ),
    Style(
        re.compile(r"^###\s*(Instruction|Input|Response):", re.MULTILINE),
        {"Instruction": "user", "Input": "user", "Response": "assistant"},
    ),
    Style(
        re.compile(r"^[ \t]*(Human|Assistant|System):", re.MULTILINE),
        {"Human": "user", "Assistant": "assistant", "System": "system"},
    ),
    Style(
        re.compile(r"^[ \t]*(User|Assistant|System):", re.MULTILINE),
        {"User": "user", "Assistant": "assistant", "System": "system"},
    ),
    Style(
        re.compile(r"(?:^|(?<=\s)|(?<=</s>))(USER|ASSISTANT|SYSTEM):"),
        {"USER": "user", "ASSISTANT": "assistant", "SYSTEM": "system"},
        ("</s>",),
    ),
    Style(
        re.compile(r"<\|im_start\|>(user|assistant|system)\n"),
        {"user": "user", "assistant": "assistant", "system": "system"},
        ("<|im_end|>", "<|endoftext|>"),
    ),
    Style(
        re.compile(r"(?:<s>\s*)?\[(INST|/INST)\]"),
        {"INST": "user", "/INST": "assistant"},
        ("</s>",),
    ),
)
PREAMBLE = re.compile(r"\ABelow is an instruction that describes a task[^\n]*\n+")  # Alpaca's
MARKED = re.compile(r"\s*Assistant:")
SYSTEM = re.compile(r"\A\s*<<SYS>>\n?(.*?)\n?<</SYS>>\s*", re.DOTALL)  # Llama 2's, in the first turn


class Row(BaseModel):
    text: str


def dialogue(text: str) -> Dialogue | None:
    """The turns of a transcript, an empty last one if it waits for that turn; None for any other text."""
    start = PREAMBLE.sub("", text.lstrip())
    for style in STYLES:
        first = style.mark.match(start)
        if first and style.roles[first[1]] != "assistant":
            _, *parts = style.mark.split(start)
            turns = [
                (style.roles[name], _without(said, style.ends))
                for name, said in zip(parts[::2], parts[1::2], strict=True)
            ]
            turns = _with_input(turns, parts[::2])
            return _with_system(turns) if len(turns) > 1 else None
    return None


def spoken_turns(text: str) -> Dialogue | None:
    """The turns of a transcript, but for an empty last one of the assistant, which it waits for."""
    turns = dialogue(text)
    return turns[:-1] if turns and turns[-1] == ("assistant", "") else turns


def response(text: str) -> str | None:
    """A response without the assistant's mark before it; None if other turns stand in it."""
    turns = dialogue(text if MARKED.match(text) is None else f"Human: x\n\n{text.lstrip()}")
    if turns is None:
        return text
    return (
        turns[1][1] if [role for role, _ in turns] == ["user", "assistant"] and MARKED.match(text) else None
    )


def _without(said: str, ends: tuple[str, ...]) -> str:
    said = said.strip()
    for end in ends:
        said = said.removesuffix(end).strip()
    return said


def _with_input(turns: Dialogue, names: list[str]) -> Dialogue:
    """The turns, with the input of an instruction below it."""
    if names[:2] != ["Instruction", "Input"]:
        return turns
    return [("user", f"{turns[0][1]}\n\n{turns[1][1]}"), *turns[2:]]


def _with_system(turns: Dialogue) -> Dialogue:
    found = SYSTEM.match(turns[0][1])
    if not found:
        return turns
    return [("system", found[1].strip()), ("user", turns[0][1][found.end() :]), *turns[1:]]


def _matches(row: Any) -> bool:
    return (
        has_keys(row, "text")
        and isinstance(row["text"], str)
        and not unread(row, ("text",))
        and dialogue(row["text"]) is not None
    )


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Row, lambda row: [_record(row, source)], whole=True)


def _record(row: Row, source: str) -> Imported:
    turns = spoken_turns(row.text) or [("user", row.text)]
    return (prompt if turns[-1][0] == "user" else demonstration)("transcripts", turns, source)


TRANSCRIPTS = Format(
    "{text: 'Human: … Assistant: …'}, or with ### Human, User:, ChatML's or Llama 2's marks", _matches, _read
)
