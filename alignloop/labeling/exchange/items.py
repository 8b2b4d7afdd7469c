"""A round as it goes to another tool and comes back: its items in an order of their own, without names of models, and what people said."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignloop.errors import AlignloopError

PERSON = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


class ExchangeError(AlignloopError):
    """A round cannot be carried to or from another tool; the message says why and what to do."""


@dataclass(frozen=True)
class Said:
    """What one labeler said of an item: ranks in the order of its responses, or None and why it was skipped."""

    labeler: str
    ranks: tuple[int, ...] | None
    seconds: float
    skipped: str | None = None


@dataclass(frozen=True)
class Offer:
    """One item: `presented` lists the places of its responses as they are shown; `guidelines` is the version that labelers go by."""

    round: str
    key: str
    prompt: str
    responses: tuple[str, ...]
    presented: tuple[int, ...]
    guidelines: str
    said: tuple[Said, ...] = ()


def spoken(messages: Sequence[Mapping[str, Any]]) -> str:
    """A conversation as one text: a single turn as it is, several with their speakers."""
    if len(messages) == 1:
        return str(messages[0]["content"])
    return "\n\n".join(f"{str(message['role']).capitalize()}: {message['content']}" for message in messages)


def known_there(labeler: str, people: Mapping[str, str], tool: str) -> str:
    """What a labeler is called in the other tool. Raises ExchangeError where nobody said."""
    if labeler not in people:
        raise ExchangeError(
            f"{labeler} has no name in {tool}: give a file with a line `{labeler}: their id there` as --people"
        )
    return people[labeler]


def known_here(person: Any, people: Mapping[str, str], tool: str) -> str | None:
    """What a person of the other tool is called here: as `people` says, or by the tool's name and the id there; None for no proper id."""
    names = {there: here for here, there in people.items()}
    name = str(person)
    return names.get(name) or (f"{tool}-{name}" if PERSON.fullmatch(name) else None)
