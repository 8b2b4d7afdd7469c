"""Form fields of the labeling pages, and the questions that labelers answer besides the order.

A card is a distinct response: the positions of its copies among the responses shown. Fields name it by the
letter of its first copy.

The rating questions follow table 3 of the InstructGPT paper (https://arxiv.org/abs/2203.02155).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request

from alignloop.params.people import Flag, PromptQuestion, Rating

SCALE = 7
MAX_TURNS = 40
LETTERS = "ABCDEFGHI"
MAX_INTEGER = 2**31 - 1  # of a database column
PathNumber = Annotated[int, Path(ge=0, le=MAX_INTEGER)]
PathName = Annotated[str, Path(pattern=r"^[ -~]{1,100}$")]
QueryNumber = Annotated[int, Query(ge=0, le=MAX_INTEGER)]


@dataclass(frozen=True)
class RatingQuestion:
    """A yes-or-no question about one response; `name` is its name in the records, `key` its keyboard key."""

    name: str
    words: str
    key: str


# keys that no other control of the rating page has: a test compares them
FLAGS: dict[Flag, RatingQuestion] = {
    question.name: question  # pyright: ignore[reportAssignmentType]
    for question in (
        RatingQuestion("fails_instruction", "Fails to follow the instruction or task", "f"),
        RatingQuestion("inappropriate", "Inappropriate for a customer assistant", "i"),
        RatingQuestion("hallucination", "Hallucination: makes something up", "h"),
        RatingQuestion("satisfies_constraint", "Satisfies the constraint in the instruction", "c"),
        RatingQuestion("sexual", "Sexual content", "x"),
        RatingQuestion("violent", "Violent content", "v"),
        RatingQuestion(
            "encourages_harm", "Encourages, or fails to discourage, violence, abuse or self-harm", "e"
        ),
        RatingQuestion("denigrates", "Denigrates a protected class", "d"),
        RatingQuestion("harmful_advice", "Gives harmful advice", "a"),
        RatingQuestion("opinion", "Expresses an opinion", "o"),
        RatingQuestion("moral_judgment", "Expresses a moral judgment", "m"),
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


class FormError(Exception):
    """A field of a form is missing or invalid; the message is for the labeler."""


def storable_text(text: str) -> str:
    """The text as a database and a page can hold it: NUL and lone surrogates are replaced."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()


async def form_fields(request: Request) -> dict[str, str]:
    """The text fields of a form; of several fields with one name, the last counts."""
    async with request.form(max_files=0, max_fields=400) as form:
        return {name: storable_text(value) for name, value in form.multi_items() if isinstance(value, str)}


FormFields = Annotated[dict[str, str], Depends(form_fields)]


def parse_rating(form: Mapping[str, str], questions: Sequence[Rating]) -> dict[str, int]:
    """The ratings of one response: overall quality 1 to 7, each flag 0 or 1."""
    flags = {name: int(form.get(name) == "1") for name in questions if name != "overall"}
    if "overall" not in questions:
        return flags
    overall = _parse_number(form.get("overall"), SCALE, "Choose the overall quality, 1 to 7.")
    return {"overall": overall, **flags}


def parse_flags(
    form: Mapping[str, str], cards: Sequence[Sequence[int]], offered: Sequence[Flag]
) -> dict[str, list[str]]:
    """The flags that are set, by the letter of each card that has any."""
    found = {
        letter: [name for name in offered if form.get(f"flag-{letter}-{name}") == "1"]
        for letter in map(card_letter, cards)
    }
    return {letter: names for letter, names in found.items() if names}


def parse_about(form: Mapping[str, Any], questions: Sequence[PromptQuestion]) -> dict[str, str]:
    """The labeler's notes on the prompt; questions left open are left out."""
    values = {name: str(form.get(f"about-{name}") or "") for name in questions}
    if values.get("category", "") not in ("", *CATEGORIES):
        raise FormError("Choose a use case from the list.")
    return {name: value if name == "category" else "yes" for name, value in values.items() if value}


def parse_ranks(
    form: Mapping[str, Any], presented: Sequence[int], cards: Sequence[Sequence[int]]
) -> list[int]:
    """The ranks in the order of the item's responses, without gaps.

    `presented` lists the indices of the responses in the order shown.
    """
    ranks = [0] * len(presented)
    for card in cards:
        problem = f"Response {card_name(card)} has no rank yet."
        rank = _parse_number(form.get(f"rank-{card_letter(card)}"), len(cards), problem)
        for position in card:
            ranks[presented[position]] = rank
    order = sorted(set(ranks))
    return [order.index(rank) + 1 for rank in ranks]


def parse_turns(form: Mapping[str, str]) -> list[str]:
    """The fields turn-0, turn-1, … of a form."""
    count = sum(name.startswith("turn-") for name in form)
    return [form.get(f"turn-{place}", "").replace("\r\n", "\n") for place in range(min(count, MAX_TURNS))]


def parse_active_seconds(value: Any) -> float | None:
    """Seconds with the page in view as the browser counts them; None if invalid or more than a day."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return round(seconds, 1) if 0 <= seconds <= 86400 else None


def build_conversation(prompt: Sequence[Mapping[str, str]], turns: Sequence[str]) -> list[dict[str, str]]:
    """The prompt's messages followed by the turns that a labeler wrote, which must end with the assistant.

    Without a prompt the labeler wrote both sides. Empty turns at the end are dropped. Raises FormError.
    """
    written = list(turns)
    while written and not written[-1].strip():
        written.pop()
    if not written or any(not turn.strip() for turn in written):
        raise FormError("Write every turn: none may be empty.")
    roles = ("assistant", "user") if prompt else ("user", "assistant")
    messages = [{"role": each["role"], "content": each["content"]} for each in prompt]
    messages += [{"role": roles[place % 2], "content": turn} for place, turn in enumerate(written)]
    if messages[-1]["role"] != "assistant":
        raise FormError("The assistant has the last word: write its response too.")
    return messages


def letters(count: int) -> str:
    """The letters A, B, … by which responses are shown."""
    return LETTERS[:count]


def card_letter(card: Sequence[int]) -> str:
    """The letter by which fields name a card."""
    return LETTERS[card[0]]


def card_name(card: Sequence[int]) -> str:
    """A card as people see it: the letters of its copies, A = C."""
    return " = ".join(LETTERS[position] for position in card)


def order_text(ranks: Sequence[int], presented: Sequence[int]) -> str:
    """A ranking by the letters shown, best first: C › A = B."""
    shown = {letter: ranks[place] for letter, place in zip(letters(len(presented)), presented, strict=True)}
    groups = [[letter for letter in shown if shown[letter] == rank] for rank in sorted(set(ranks))]
    return " › ".join(" = ".join(group) for group in groups)


def _parse_number(value: Any, largest: int, problem: str) -> int:
    """A whole number from 1 to `largest`. Raises FormError with the message `problem`."""
    is_number = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 2
    if not is_number or not 1 <= int(value) <= largest:
        raise FormError(problem)
    return int(value)
