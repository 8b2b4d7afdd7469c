"""Items of a round as they are exchanged with another labeling tool.

The responses are in shuffled order, and the names of the policies behind them are not part of an item.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignloop.errors import AlignloopError

EXTERNAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


class ExchangeError(AlignloopError):
    """A round cannot be exported to or imported from another tool; the message states why and the remedy."""


@dataclass(frozen=True)
class LabelerRanking:
    """One labeler's ranking of an item.

    `ranks` is in the order of the item's responses; it is None for a skip, and `skipped` is then the reason.
    """

    labeler: str
    ranks: tuple[int, ...] | None
    seconds: float
    skipped: str | None = None


@dataclass(frozen=True)
class ExchangeItem:
    """One item; `presented` lists the indices of its responses in the order shown."""

    round: str
    key: str
    prompt: str
    responses: tuple[str, ...]
    presented: tuple[int, ...]
    guidelines: str
    rankings: tuple[LabelerRanking, ...] = ()


def conversation_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """A conversation as one text: a single message as it is, several with their roles."""
    if len(messages) == 1:
        return str(messages[0]["content"])
    return "\n\n".join(f"{str(message['role']).capitalize()}: {message['content']}" for message in messages)


def external_id(labeler: str, people: Mapping[str, str], tool: str) -> str:
    """The labeler's ID in the other tool. Raises ExchangeError if `people` does not have it."""
    if labeler not in people:
        raise ExchangeError(
            f"{labeler} has no ID in {tool}; give a file with a line `{labeler}: their ID there` as --people"
        )
    return people[labeler]


def labeler_id(person: Any, people: Mapping[str, str], tool: str) -> str | None:
    """The labeler ID of a person in the other tool.

    It comes from `people`, or is made of the tool's name and the ID there; None if that ID is not usable.
    """
    labelers = {there: here for here, there in people.items()}
    id = str(person)
    return labelers.get(id) or (f"{tool}-{id}" if EXTERNAL_ID.fullmatch(id) else None)
