"""Programs of the built-in environment's code: attributes of things that are set, compared and printed.

The syntax is a part of Python's. A program is parsed and interpreted here, never executed by Python, so that
a response can be checked by what it does, whatever it is.
"""

import ast
from dataclasses import dataclass

from alignloop.errors import AlignloopError
from alignloop.world.things import ATTRIBUTES, THINGS

LONGEST = 400  # characters of a program
Places = dict[tuple[str, str], str]  # (thing, attribute) -> value, all in lower case


class ProgramError(AlignloopError):
    """A text that is no program, or a program that reads what does not exist."""


@dataclass
class Outcome:
    """What a program has set, and what it has printed."""

    values: Places
    printed: list[str]


def run(text: str, values: Places) -> Outcome:
    """Interpret a program that starts with these values. Raises ProgramError where it cannot run."""
    if len(text) > LONGEST:
        raise ProgramError(f"the program has more than {LONGEST} characters")
    try:
        tree = ast.parse(text.lower())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ProgramError(f"no program: {error}") from None
    outcome = Outcome(dict(values), [])
    _run(tree.body, outcome)
    return outcome


def same_effect(one: str, other: str) -> bool:
    """Whether two programs set and print the same from every state. Raises ProgramError if one cannot run."""
    return all(run(one, state) == run(other, state) for state in STATES)


def _states() -> list[Places]:
    """States in which each attribute of each thing has each of its values once."""
    most = max(len(attribute.values) for attribute in ATTRIBUTES.values())
    return [
        {
            (thing, name.lower()): attribute.values[(place + shift) % len(attribute.values)].lower()
            for place, thing in enumerate(THINGS)
            for name, attribute in ATTRIBUTES.items()
        }
        for shift in range(most)
    ]


STATES = _states()


def _run(statements: list[ast.stmt], outcome: Outcome) -> None:
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id=thing), attr=name)], value=value):
                outcome.values[thing, name] = _value(value, outcome)
            case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=[value], keywords=[])):
                outcome.printed.append(_value(value, outcome))
            case ast.If(
                test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]), body=body, orelse=others
            ):
                equal = _value(left, outcome) == _value(right, outcome)
                _run(body if equal else others, outcome)
            case _:
                raise ProgramError(f"line {statement.lineno}: a statement that programs here do not have")


def _value(expression: ast.expr, outcome: Outcome) -> str:
    match expression:
        case ast.Constant(value=str() as text):
            return text
        case ast.Attribute(value=ast.Name(id=thing), attr=name) if (thing, name) in outcome.values:
            return outcome.values[thing, name]
        case _:
            raise ProgramError(f"line {expression.lineno}: a value that does not exist")
