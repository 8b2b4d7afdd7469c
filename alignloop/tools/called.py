"""What a response has called, read from its turns alone: for people, and for records of what they say.

Whatever the chat template writes around a call, the call is the first JSON object with a name in its turn.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from alignloop.retrieval.citations import ERROR
from alignloop.tool_turns import RolloutTurn, ToolCall

LONGEST = 300  # characters of what is shown of a call
UNREADABLE = "a call that cannot be read"


class Called(NamedTuple):
    """A call with its answer: the tool and what it is asked in words, and why there is no result."""

    tool: str
    asked: str
    problem: str


def called(turns: Sequence[RolloutTurn]) -> list[Called]:
    """The calls that were answered, in their order."""
    return [_shown(turn.text, answer.text) for turn, answer in _pairs(turns)]


def calls_with_results(turns: Sequence[RolloutTurn]) -> list[ToolCall]:
    """The calls that gave a result, as demonstrations have them."""
    found: list[ToolCall] = []
    for turn, answer in _pairs(turns):
        if (call := read_call(turn.text)) and not answer.text.startswith(ERROR):
            name, arguments = call
            found.append(ToolCall(name=name, arguments=arguments, result=answer.text))
    return found


def shown_call(text: str) -> tuple[str, str]:
    """A call's tool and what it is asked, in words; ("", words) for one that cannot be read."""
    call = read_call(text)
    if call is None:
        return "", UNREADABLE
    name, arguments = call
    return name[:40], _words(arguments)


def shown_problem(answer: str) -> str:
    """Why there is no result; "" where there is one."""
    return _cut(answer.removeprefix(ERROR)) if answer.startswith(ERROR) else ""


def read_call(text: str) -> tuple[str, dict[str, Any]] | None:
    """The name and the arguments of the call that a turn makes; None where it cannot be read."""
    decoder, place = json.JSONDecoder(), text.find("{")
    while place >= 0:
        try:
            found, _ = decoder.raw_decode(text[place:])
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and isinstance(name := found.get("name"), str) and name:
            arguments = found.get("arguments", found.get("parameters", {}))
            return (name, arguments) if isinstance(arguments, dict) else None
        place = text.find("{", place + 1)
    return None


def _pairs(turns: Sequence[RolloutTurn]) -> Iterator[tuple[RolloutTurn, RolloutTurn]]:
    return zip(turns[::2], turns[1::2], strict=False)


def _shown(call: str, answer: str) -> Called:
    return Called(*shown_call(call), shown_problem(answer))


def _words(arguments: Mapping[str, Any]) -> str:
    """The one argument if it is the only one, else all of them by their names."""
    values = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in arguments.items()
    }
    if len(values) == 1:
        return _cut(next(iter(values.values())))
    return _cut(", ".join(f"{name}: {value}" for name, value in values.items()))


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} …"
