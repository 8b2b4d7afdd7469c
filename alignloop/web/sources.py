"""What pages show of a response that may have called tools: its calls, its text for readers, its sources."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from alignloop.labeling.serving_schema import ChatMessage
from alignloop.retrieval.citations import search_answers, sourced
from alignloop.retrieval.index import Passage
from alignloop.tool_turns import RolloutTurn
from alignloop.tools.called import Called, called


@dataclass(frozen=True)
class Readable:
    """A response for readers; `copied` has the list of sources as text."""

    text: str
    copied: str
    calls: list[Called] = field(default_factory=list)
    sources: list[Passage] = field(default_factory=list)


def readable(text: str, turns: Sequence[RolloutTurn] | None) -> Readable:
    """A response with its turns. Where it has not searched, its text is as it was written."""
    calls, said = called(turns or ()), search_answers(tuple(turns or ()))
    if not said:
        return Readable(text, text, calls)
    found = sourced(text, said)
    return Readable(found.text, found.as_text(), calls, found.sources)


def readable_message(message: ChatMessage) -> Readable:
    """A response of the chat page."""
    return readable(message.content, message.steps)


def readable_item(text: str, turns: Sequence[dict[str, Any]] | None) -> Readable:
    """A response to be compared, with its turns as the database has them."""
    return readable(text, [RolloutTurn.model_validate(each) for each in turns or ()])


def edit_for_readers(text: str, message: ChatMessage) -> str:
    """What somebody wrote in place of a response, with its citations counted from 1."""
    return readable(text, message.steps).text
