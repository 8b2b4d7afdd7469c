"""A utility from a response's form, for labelers of prompts without a ground-truth (gold) score."""

from alignloop.records import Prompt
from alignloop.world.reading import Reading, words_of
from alignloop.world.style import repetition

_SMALL = frozenset(
    words_of(
        "a an and are as at be by do does for how i in is it me my of on or that the this to was "
        "what when where which who why with you"
    )
)
_CLOSED = (".", "!", "?", '"', ")", ":", "`")


def form_utility(prompt: Prompt, response: str) -> float:
    """Quality of a response's form, in [-2, 3].

    Rewards finished sentences, a suitable length, words of the prompt and letters; penalises repetition.
    """
    reading, text = Reading(response), response.strip()
    count = len(reading.words)
    if not count:
        return -2.0
    asked = set(words_of(prompt.messages[-1].content)) - _SMALL
    shared = len(asked.intersection(reading.words)) / max(1, min(len(asked), 8))
    letters = sum(character.isalpha() or character.isspace() for character in text) / len(text)
    length = min(count / 12, 1.0) - max(0.0, count - 120) / 120
    neat = 0.5 * text.endswith(_CLOSED) + 0.2 * text[:1].isupper() + 5 * (letters - 0.8)
    return max(-2.0, min(3.0, 0.8 * length + 1.3 * min(shared, 1.0) + neat - 3.0 * repetition(reading) - 0.6))
