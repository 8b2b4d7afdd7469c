"""What a tool is: a function with a name, a description and the JSON schema of its arguments.

Standard library only: a tool's process imports this and the tool, nothing else.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class ToolProblem(Exception):
    """Why a call has no result. A tool raises it with words for the model; anything else is a failure."""


class ToolStops(ToolProblem):
    """Why no call can be answered from now on, with the remedy: it stops the stage, no policy reads it."""


@dataclass(frozen=True)
class Definition:
    """What the model is told of a tool; `parameters` is the JSON schema of an object of arguments.

    `settings` is that of what the user states, None for anything that the function takes. `check` is called
    once before the first call, with the settings; it raises ToolStops where they cannot be used, and returns
    the longest result that is to be expected, or "". `prepare` is called with the settings in each process
    before that and before the first call: what takes time to load is not within the time of a call.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    settings: Mapping[str, Any] | None = None
    check: Callable[..., str] | None = None
    prepare: Callable[..., object] | None = None

    def as_schema(self) -> dict[str, Any]:
        """As chat templates and OpenAI's API write tools."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": dict(self.parameters),
            },
        }


def tool(
    name: str,
    description: str,
    parameters: Mapping[str, Any],
    *,
    settings: Mapping[str, Any] | None = None,
    check: Callable[..., str] | None = None,
    prepare: Callable[..., object] | None = None,
) -> Callable[[Function], Function]:
    """Makes a function a tool: see Definition.

    Raises ValueError for a name that is none, or a schema of something else.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"a tool's name must be 1 to 40 small letters, digits and _, not {name!r}")
    if parameters.get("type") != "object":
        raise ValueError(f"the parameters of {name} must be a JSON schema of type object")

    def mark(function: Function) -> Function:
        function.__dict__["tool"] = Definition(
            name, description, parameters, settings=settings, check=check, prepare=prepare
        )
        return function

    return mark


def definition_of(function: Any) -> Definition | None:
    """The definition of a function that is a tool; None for any other thing."""
    found = getattr(function, "tool", None)
    return found if isinstance(found, Definition) else None
