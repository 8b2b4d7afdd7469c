"""Gives a stage's function the parameters that its annotations ask for."""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from alignloop.params import Params
from alignloop.params.section import Key, Section


def sections(function: Callable[..., Any]) -> dict[str, str]:
    """The arguments that params.yaml fills, each with its key there: {"plan": "ppo", "seed": "seed"}."""
    keys = {
        field.annotation: field.alias or name
        for name, field in Params.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }
    filled: dict[str, str] = {}
    for name, hint in get_type_hints(function, include_extras=True).items():
        marks = [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Key)]
        if marks:
            filled[name] = marks[0].name
        elif isinstance(hint, type) and hint in keys:
            filled[name] = keys[hint]
    return filled


def bind(function: Callable[..., Any], params: Params) -> Callable[..., Any]:
    """The function with its parameters filled in; its other arguments follow, in their order or by name."""
    fields = {field.alias or name: name for name, field in Params.model_fields.items()}
    filled = {name: getattr(params, fields[key]) for name, key in sections(function).items()}
    others = [name for name in inspect.signature(function).parameters if name not in filled]

    def bound(*arguments: Any, **named: Any) -> Any:
        return function(**filled, **dict(zip(others, arguments, strict=False)), **named)

    return bound
