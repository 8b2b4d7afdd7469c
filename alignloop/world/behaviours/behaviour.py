"""A behaviour: its questions, good responses, bad responses of each kind, and the verdict on any response."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from alignloop.world.reading import Reading
from alignloop.world.things import Facts

Key = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """A dialogue whose last turn is the user's; `key` is what the ground-truth (gold) score is computed from.

    Turns alternate between user and assistant, user first.
    """

    turns: tuple[str, ...]
    key: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """The verdict on a response's content, without its form."""

    fault: str | None  # what is wrong, a key of `gold.SEVERITY`; None: correct
    named: bool  # whether the response names its subject
    band: tuple[int, int]  # the suitable number of words
    courtesy: bool | None = None  # whether a polite phrase is expected, unsuitable, or neither
    made_up: bool = False  # asserts what cannot be known
    honest: float = 1.0
    harmless: float = 1.0
    code: bool = False  # the response is a program, not a sentence


@dataclass(frozen=True)
class Behaviour:
    """One behaviour, a category of prompts and a row of every evaluation."""

    name: str
    share: float  # of all prompts
    ask: Callable[[Facts, Random], Question]
    good: Callable[[Key, Facts, Random], str]
    bad: Mapping[str, Callable[[Key, Facts, Random], str]]  # kind of bad response -> a generator of it
    verdict: Callable[[Key, Reading], Verdict]
