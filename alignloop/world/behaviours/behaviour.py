"""What a behaviour is: how to ask for it, good answers, bad answers of each kind, and gold's verdict on any answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from alignloop.world.reading import Reading
from alignloop.world.things import Facts

Key = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """A conversation that ends with the user: turns alternate user, assistant, user; `key` is what gold needs to know."""

    turns: tuple[str, ...]
    key: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Gold's opinion on the matter of an answer, before its form.

    `fault` names what is wrong (None: right; `gold.SEVERITY` has how bad that is), `named` tells whether the answer is a full one that says
    what it is about, `band` is the fitting number of words, and `touch` whether a polite touch is wanted (bad news wants one),
    out of place (a plain question wants a plain answer) or neither (None).
    """

    fault: str | None
    named: bool
    band: tuple[int, int]
    touch: bool | None = None
    made_up: bool = False
    honest: float = 1.0
    harmless: float = 1.0


@dataclass(frozen=True)
class Behaviour:
    """One row of every evaluation. `bad` holds a maker for each kind of bad answer, `share` is its part of all prompts."""

    name: str
    share: float
    ask: Callable[[Facts, Random], Question]
    good: Callable[[Key, Facts, Random], str]
    bad: Mapping[str, Callable[[Key, Facts, Random], str]]
    verdict: Callable[[Key, Reading], Verdict]
