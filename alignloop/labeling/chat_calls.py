"""Calls of tools in chat as records have them, and citations as they are stored."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alignloop.labeling.serving_schema import ChatMessage
from alignloop.retrieval.citations import search_answers, sourced
from alignloop.retrieval.reading import written_back
from alignloop.tool_turns import RolloutTurn, ToolCall
from alignloop.tools.called import calls_with_results


def redacted_calls(turns: Sequence[RolloutTurn], redacted: Callable[[str], str]) -> tuple[ToolCall, ...]:
    """The calls of a response that gave a result, as a demonstration has them."""
    return tuple(
        ToolCall(name=call.name, arguments=_each(call.arguments, redacted), result=redacted(call.result))
        for call in calls_with_results(turns)
    )


def _each(value: Any, redacted: Callable[[str], str]) -> Any:
    """A value of JSON with each of its texts redacted."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {name: _each(each, redacted) for name, each in value.items()}
    return [_each(each, redacted) for each in value] if isinstance(value, list) else value


def stored_edit(text: str, response: ChatMessage) -> str:
    """What a reader wrote in place of a response, citing passages by their numbers as the response does.

    Raises UnknownSource.
    """
    said = search_answers(response.steps)
    if not said:
        return text
    if text.strip() == sourced(response.content, said).text.strip():
        return response.content
    return written_back(text, response.content, said)
