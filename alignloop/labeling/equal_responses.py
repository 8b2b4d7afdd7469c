"""Equal responses to one prompt: labelers see each text once, and its copies share a rank.

A prompt whose responses are all equal is shown to nobody. Its tie is certain, so it is in no ranking: it
would tell the reward model nothing about what labelers prefer, and count as agreement of labelers.
"""

from collections.abc import Sequence
from typing import TypeVar

from alignloop.records import Samples

T = TypeVar("T")


def copies(responses: Sequence[str]) -> list[list[int]]:
    """The places of each distinct text, in the order of their first places."""
    places: dict[str, list[int]] = {}
    for place, text in enumerate(responses):
        places.setdefault(text, []).append(place)
    return list(places.values())


def first_places(responses: Sequence[str]) -> list[int]:
    """The place of the first copy of each distinct text."""
    return [group[0] for group in copies(responses)]


def once(values: Sequence[T], responses: Sequence[str]) -> list[T]:
    """Of one value per response, those of the first copy of each distinct text."""
    return [values[place] for place in first_places(responses)]


def spread(values: Sequence[T], responses: Sequence[str]) -> list[T]:
    """One value per response from one value per distinct text."""
    by_text = dict(zip(dict.fromkeys(responses), values, strict=True))
    return [by_text[text] for text in responses]


def tie_copies(ranks: Sequence[int], responses: Sequence[str]) -> list[int]:
    """The ranks with the copies of a text tied at the best of their ranks, without gaps."""
    best = [min(ranks[place] for place in group) for group in copies(responses)]
    order = sorted(set(best))
    return spread([order.index(rank) + 1 for rank in best], responses)


def with_choice(samples: Sequence[Samples]) -> list[Samples]:
    """The samples that have something to rank: two distinct responses or more."""
    return [each for each in samples if len(set(each.responses)) > 1]
