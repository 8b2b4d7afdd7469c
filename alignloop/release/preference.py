"""What the votes of a review show, in plain words."""

from math import floor, log10

from alignloop.core.sign_test import FEWEST, sign_test
from alignloop.labeling.reviews import Tally

POINTS = 10  # of 100 prompts: a difference worth finding


def preference_sentence(tally: Tally, other: str) -> str:
    """Which model reviewers prefer, or that the votes cannot tell, and how many votes a difference needs.

    A prompt counts for the model that most of its votes prefer; prompts are independent, votes on one
    prompt are not.
    """
    found = sign_test(tally.outcomes, POINTS / 100)
    half = POINTS / 2
    needed = (
        f"To find a difference of {POINTS} points (such as {50 + half:g} to {50 - half:g} of 100) in four "
        f"reviews of five takes about {_rounded(found.needed):,} votes, each on a prompt of its own."
    )
    if not tally.outcomes:
        return f"No reviewer has voted yet: nothing is known of what people prefer. {needed}"
    prompts = len(tally.outcomes) - tally.identical
    counts = (
        f"{_count(tally.votes, 'vote')} on {_count(prompts, 'prompt')}; the candidate is preferred on "
        f"{found.better}, {other} on {found.worse}, neither on {found.same}"
    )
    if tally.identical:
        counts += f" (identical responses on {tally.identical} of these, which nobody has to compare)"
    if found.preferred:
        name = "the candidate" if found.preferred > 0 else other
        chance = f"Chance alone gives so one-sided a result in {_chance(found.chance)}."
        return f"Reviewers prefer {name}: {counts}. {chance}"
    if len(tally.outcomes) < FEWEST:
        return f"Too few votes to tell them apart, whatever they say: {counts}. {needed}"
    return f"Reviewers could not tell them apart: {counts}. {needed}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _chance(chance: float) -> str:
    return f"{100 * chance:.0f} of 100 reviews" if chance >= 0.01 else "fewer than 1 of 100 reviews"


def _rounded(number: int) -> int:
    """To two digits, as people say numbers."""
    return int(round(number, 1 - floor(log10(number))))
