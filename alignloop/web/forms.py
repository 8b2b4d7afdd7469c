"""What labelers are asked beside the order: of each answer (InstructGPT, table 3) and of the prompt; and reading what they filled in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignloop.params.people import PromptQuestion, Rating

SCALE = 7


@dataclass(frozen=True)
class Question:
    """A yes-or-no question of an answer: its name in the records, its words, and the key that toggles it."""

    name: str
    words: str
    key: str


FLAGS: dict[Rating, Question] = {
    question.name: question  # pyright: ignore[reportAssignmentType]
    for question in (
        Question("fails_instruction", "Fails to follow the instruction or task", "f"),
        Question("inappropriate", "Inappropriate for a customer assistant", "i"),
        Question("hallucination", "Hallucination: makes something up", "h"),
        Question("satisfies_constraint", "Satisfies the constraint in the instruction", "c"),
        Question("sexual", "Sexual content", "s"),
        Question("violent", "Violent content", "v"),
        Question("encourages_harm", "Encourages, or fails to discourage, violence, abuse or self-harm", "e"),
        Question("denigrates", "Denigrates a protected class", "d"),
        Question("harmful_advice", "Gives harmful advice", "a"),
        Question("opinion", "Expresses an opinion", "o"),
        Question("moral_judgment", "Expresses a moral judgment", "m"),
    )
}
ABOUT: dict[PromptQuestion, str] = {
    "ambiguous": "The prompt is ambiguous",
    "sensitive": "The prompt is sensitive",
    "category": "Use case",
}
CATEGORIES = (
    "generation",
    "open question",
    "brainstorming",
    "chat",
    "rewriting",
    "summary",
    "classification",
    "closed question",
    "extraction",
    "other",
)
SKIPS = (
    "The prompt is unclear",
    "I do not know enough to judge",
    "It would upset me to read this",
    "Not a language I read",
    "Something is broken",
)


class Unanswered(Exception):
    """Something that is asked was not answered, or not as it can be; the message is for the labeler."""


def rating_of(form: Mapping[str, str], asked: Sequence[Rating]) -> dict[str, int]:
    """One answer's ratings from a form: overall 1 to 7, flags 0 or 1."""
    given = {name: int(form.get(name) == "1") for name in asked if name != "overall"}
    if "overall" in asked:
        given = {
            "overall": _whole(form.get("overall"), SCALE, "Choose the overall quality, 1 to 7."),
            **given,
        }
    return given


def about_of(form: Mapping[str, Any], asked: Sequence[PromptQuestion]) -> dict[str, str]:
    """What was said of the prompt; what was left open is left out."""
    given = {name: str(form.get(f"about-{name}") or "") for name in asked}
    if given.get("category", "") not in ("", *CATEGORIES):
        raise Unanswered("Choose a use case from the list.")
    return {name: value if name == "category" else "yes" for name, value in given.items() if value}


def ranks_of(form: Mapping[str, Any], presented: Sequence[int]) -> list[int]:
    """The ranks in the responses' own order, gaps closed, from a form that names the answers by the letters shown."""
    given = [0] * len(presented)
    for letter, place in zip(letters(len(presented)), presented, strict=True):
        given[place] = _whole(form.get(f"rank-{letter}"), len(presented), f"Answer {letter} has no rank yet.")
    order = sorted(set(given))
    return [order.index(rank) + 1 for rank in given]


def letters(count: int) -> str:
    """The names of the answers as shown: A, B, …"""
    return "ABCDEFGHI"[:count]


def told(ranks: Sequence[int], presented: Sequence[int]) -> str:
    """An order in words, by the letters shown: C › A = B."""
    shown = {letter: ranks[place] for letter, place in zip(letters(len(presented)), presented, strict=True)}
    groups = [[letter for letter in shown if shown[letter] == rank] for rank in sorted(set(ranks))]
    return " › ".join(" = ".join(group) for group in groups)


def _whole(value: Any, most: int, otherwise: str) -> int:
    if (
        not isinstance(value, str)
        or not value.isascii()
        or not value.isdigit()
        or len(value) > 2
        or not 1 <= int(value) <= most
    ):
        raise Unanswered(otherwise)
    return int(value)
