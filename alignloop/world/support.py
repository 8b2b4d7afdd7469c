"""Whether passages support what a response states: exact in the built-in environment."""

from collections.abc import Sequence

from alignloop.records import Prompt
from alignloop.world.reading import Reading
from alignloop.world.things import POOLS


def supported(prompt: Prompt, response: str, passages: Sequence[str]) -> bool:
    """Whether each value that a response states for what was asked is stated of the same thing in a passage.

    A response that states none is not supported. The prompt's key must be that of a documented fact.
    """
    key = prompt.key or {}
    pool = POOLS[key["attribute"]]
    claimed = Reading(response).asserted(pool)
    stated = {value for text in passages for value in stated_of(key["subject"], pool, text)}
    return bool(claimed) and claimed <= stated


def stated_of(subject: str, pool: frozenset[str], text: str) -> set[str]:
    """The words of the pool that sentences which name the subject state."""
    found = set[str]()
    for sentence in Reading(text).sentences:
        reading = Reading(" ".join(sentence))
        if reading.has(subject):
            found |= reading.asserted(pool)
    return found
