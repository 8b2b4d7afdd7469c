"""Parameters of `tools`: what responses may call while they are drawn."""

from typing import Annotated, Any

from pydantic import AfterValidator

from alignloop.params.score import FUNCTION
from alignloop.params.section import Count, Positive, Section


def _named(value: str) -> str:
    if not FUNCTION.fullmatch(value):
        raise ValueError("must be module:function, such as own_tools.units:metres for a file in own_tools/")
    return value


class ToolFunction(Section):
    """A tool as `module:function`; `settings` are arguments that no model sees or chooses."""

    function: Annotated[str, AfterValidator(_named)]
    network: bool
    settings: dict[str, Any]


class Tools(Section):
    """`functions: []` is a run without tools."""

    functions: list[ToolFunction]
    max_calls: Count
    answer_tokens: Count
    timeout_s: Positive

    def longest(self, max_new_tokens: int) -> int:
        """The most tokens of a response whose turns have `max_new_tokens` each, answers included."""
        calls = self.max_calls if self.functions else 0
        return (calls + 1) * max_new_tokens + calls * self.answer_tokens
