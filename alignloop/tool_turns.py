"""Calls of tools in records: as somebody shows them, and as the turns of a drawn response."""

from typing import Annotated, Any, Literal

from pydantic import Field

from alignloop.record_base import Identifier, Record


class ToolCall(Record):
    """A call of a tool before a response: the tool's name, its arguments, and what it answered."""

    name: Identifier
    arguments: dict[str, Any]
    result: str


class RolloutTurn(Record):
    """A part of a response that called tools: what the policy drew, or what a tool answered.

    `tokens` of it are in the response, in this order; only the policy's are learned from. `tool` is the name
    of the tool that answered; None where the call named none that there is.
    """

    by: Literal["policy", "tool"]
    text: str
    tokens: int
    tool: Annotated[str | None, Field(exclude_if=lambda tool: tool is None)] = None


Turns = tuple[RolloutTurn, ...]  # of one response, in their order
