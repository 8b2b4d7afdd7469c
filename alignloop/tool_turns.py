"""Calls of tools in records: as somebody shows them, and as the turns of a drawn response."""

from typing import Any, Literal

from alignloop.record_base import Identifier, Record


class ToolCall(Record):
    """A call of a tool before a response: the tool's name, its arguments, and what it answered."""

    name: Identifier
    arguments: dict[str, Any]
    result: str


class RolloutTurn(Record):
    """A part of a response that called tools: what the policy drew, or what a tool answered.

    `tokens` of it are in the response, in this order; only the policy's are learned from.
    """

    by: Literal["policy", "tool"]
    text: str
    tokens: int


Turns = tuple[RolloutTurn, ...]  # of one response, in their order
