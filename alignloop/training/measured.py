"""What is measured where there is too much: evenly spread items, and a note that tells how many."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` items, evenly spread over all, in their order."""
    count = min(len(items), most)
    return [items[place * len(items) // count] for place in range(count)]


def spread_note(what: str, all: int, key: str, most: int) -> str:
    """The sentence that says that only some are measured, by which parameter; nothing where all are."""
    return f"{what} {most:,} of {all:,}, evenly spread ({key})" if all > most else ""
