"""Code: asked for a program, the assistant writes one that does it; asked what one prints, it says so.

A program is right if it has the same effect as the reference from every state (alignloop/world/programs.py),
however it is written. Only environments with `ingest.world.code` above 0 ask for it.
"""

from dataclasses import dataclass
from random import Random

from alignloop.world import wording
from alignloop.world.behaviours.behaviour import Behaviour, Key, Question, Verdict
from alignloop.world.programs import ProgramError, run, same_effect
from alignloop.world.reading import Reading
from alignloop.world.things import ALL_VALUES, ATTRIBUTES, THINGS, Facts

_WRITE = ("Write code to {w}.", "Write a program to {w}.", "Please {w} in code.")
_TRACE = ("What does this code print?\n{p}", "Which word does this program print?\n{p}")
_SAYS = ("It prints {v}.", "The code prints {v}.", "{v} is what it prints.")
_TALK = ("You can do that with code.", "First write some code, then test it.", "That is easy in code.")
_TRACED = 0.3  # share of the prompts that ask what a program prints


@dataclass(frozen=True)
class _Task:
    """A program, and the words that ask for it."""

    words: str
    program: str


def _task(rng: Random) -> _Task:
    thing, other = rng.sample(THINGS, 2)
    name = rng.choice(sorted(ATTRIBUTES))
    value = rng.choice(ATTRIBUTES[name].values)
    return rng.choice(
        (
            _Task(f"set the {name} of the {thing} to {value}", f'{thing}.{name} = "{value}"'),
            _Task(f"give the {thing} the {name} of the {other}", f"{thing}.{name} = {other}.{name}"),
            _Task(f"print the {name} of the {thing}", f"print({thing}.{name})"),
            _Task(
                f"print yes if the {name} of the {thing} is {value}",
                f'if {thing}.{name} == "{value}": print("yes")',
            ),
        )
    )


def _printing(rng: Random) -> str:
    """A program that prints a value."""
    thing, other = rng.sample(THINGS, 2)
    name = rng.choice(sorted(ATTRIBUTES))
    first, second = rng.sample(ATTRIBUTES[name].values, 2)
    start = f'{thing}.{name} = "{first}"'
    return rng.choice(
        (
            f"{start}\nprint({thing}.{name})",
            f"{start}\n{other}.{name} = {thing}.{name}\nprint({other}.{name})",
            f'{start}\n{other}.{name} = "{second}"\nprint({thing}.{name})',
            f'{start}\n{thing}.{name} = "{second}"\nprint({thing}.{name})',
        )
    )


def printed_by(program: str) -> str:
    """The one value that a program prints."""
    [value] = run(program, {}).printed
    return value


def text(rng: Random) -> str:
    """A piece of code as people keep it: a task as a comment, or what a program printed below it."""
    if rng.random() < 0.5:
        task = _task(rng)
        return f"# {task.words}\n{task.program}"
    program = _printing(rng)
    return f"{program}\n# {printed_by(program)}"


def ask(facts: Facts, rng: Random) -> Question:
    if rng.random() < _TRACED:
        program = _printing(rng)
        key = {"behaviour": "code", "kind": "trace", "program": program, "value": printed_by(program)}
        return Question((rng.choice(_TRACE).format(p=program),), key)
    task = _task(rng)
    key = {"behaviour": "code", "kind": "write", "program": task.program}
    return Question((rng.choice(_WRITE).format(w=task.words),), key)


def good(key: Key, facts: Facts, rng: Random) -> str:
    return _said(key["value"], rng) if key["kind"] == "trace" else key["program"]


def wrong(key: Key, facts: Facts, rng: Random) -> str:
    """Another value than is printed, or a program that does something else."""
    if key["kind"] == "trace":
        pool = next(a.values for a in ATTRIBUTES.values() if key["value"] in map(str.lower, a.values))
        return _said(rng.choice([value for value in pool if value.lower() != key["value"]]), rng)
    return rng.choice(
        [other for _ in range(8) if not same_effect(other := _task(rng).program, key["program"])]
    )


def broken(key: Key, facts: Facts, rng: Random) -> str:
    """A program, with a sign missing or in words; for what is printed, an evasion."""
    if key["kind"] == "trace":
        return rng.choice((wording.evasive(rng), *_TALK))
    signs = [place for place, sign in enumerate(key["program"]) if sign in '"()=.:']
    place = rng.choice(signs)
    text = key["program"][:place] + key["program"][place + 1 :]
    return text if _fault(key, text) else rng.choice(_TALK)


def _said(value: str, rng: Random) -> str:
    said = rng.choice(_SAYS).format(v=value)
    return said[:1].upper() + said[1:]


def _fault(key: Key, text: str) -> str | None:
    try:
        return None if same_effect(text.strip(), key["program"]) else "wrong result"
    except ProgramError:
        return "does not run"


def verdict(key: Key, reading: Reading) -> Verdict:
    if key["kind"] == "write":
        return Verdict(_fault(key, reading.text), True, (2, 8), code=True)
    stated = reading.asserted(ALL_VALUES)
    fault = None if stated else "evasive"
    if stated - {key["value"]}:
        fault = "false"
    return Verdict(fault, True, (3, 9), honest=0.0 if fault == "false" else 1.0)


BEHAVIOUR = Behaviour(
    "code", 0.0, ask, good,
    bad={
        "wrong": wrong,
        "broken": broken,
        "talk": lambda key, facts, rng: rng.choice(_TALK),
        "evasive": lambda key, facts, rng: wording.evasive(rng),
    },
    verdict=verdict,
)  # fmt: skip
