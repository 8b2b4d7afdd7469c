"""Reads configs/rules.yaml, and says all that is wrong in it at once, each with its line and field."""

import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, ValidationError

from alignloop.errors import AlignloopError
from alignloop.params.section import Section
from alignloop.params.yaml_file import ParamsError, values_in
from alignloop.rules.rule import LOOKS_FOR, Rule
from alignloop.rules.rule_set import RuleSet

FILE = Path("configs", "rules.yaml")
Location = tuple[str | int, ...]


class RulesError(AlignloopError):
    """The file of rules cannot be used; the message names every fault."""


def _name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise ValueError("the name of a rule must be 1 to 40 small letters, digits and _, a letter first")
    return name


class _File(Section):
    rules: dict[Annotated[str, AfterValidator(_name)], Rule]


def load_rules(file: Path) -> RuleSet:
    """Read a file of rules. Raises RulesError."""
    try:
        values = values_in(file, f"write `rules: {{}}` into it for no rules, or `git checkout {file}`")
    except ParamsError as error:
        raise RulesError(str(error)) from None
    if not isinstance(values, dict):
        raise RulesError(f"{file}: must hold the key `rules` with the rules by name; docs/rules.md has some")
    try:
        return RuleSet(_File.model_validate(values).rules)
    except ValidationError as error:
        lines = _lines(yaml.compose(file.read_text(encoding="utf-8")))
        faults = [_sentence(each, lines) for each in error.errors(include_url=False)]
    raise RulesError("\n".join(f"{file}{fault}" for fault in faults))


def _sentence(violation: Any, lines: dict[Location, int]) -> str:
    location: Location = tuple(part for part in violation["loc"] if part != "[key]")
    known = next(location[:end] for end in range(len(location), -1, -1) if location[:end] in lines)
    place = ".".join(str(part) for part in location)
    words = violation["msg"].removeprefix("Value error, ")
    match violation["type"]:
        case "extra_forbidden":
            words = f"unknown key; remove it or correct its spelling (a rule has {', '.join(_KEYS)})"
        case "missing":
            words = "the key is missing"
        case "value_error":
            pass
        case _ if not isinstance(violation["input"], dict | list):
            words = f"{words}, not {str(violation['input'])[:60]!r}"
    return f", line {lines[known]}: {place}: {words}"


_KEYS = (*LOOKS_FOR, *(name for name in Rule.model_fields if name not in LOOKS_FOR))


def _lines(node: yaml.Node | None, place: Location = ()) -> dict[Location, int]:
    """The line of every key and item."""
    if node is None:
        return {(): 1}
    found: dict[Location, int] = {place: node.start_mark.line + 1}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(getattr(key, "value", "")))
            found |= _lines(value, inner)
            found[inner] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            found |= _lines(value, (*place, number))
    return found
