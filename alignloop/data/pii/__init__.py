"""Personal data in text: found by form, and by check digits where there are some, and replaced by a placeholder that says what stood there.

Keys of programs, e-mail addresses, IBANs, payment cards, IP addresses, national ids, telephone numbers, street addresses. Numbers are
checked by python-stdnum and phonenumbers, keys by detect-secrets. Left out: names, which form does not tell from other words.
`python -m benchmarks.redaction` measures how much is found, and how much of what is found is some.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from alignloop.data.pii import addresses, credentials, national_ids, patterns, phone_numbers

FINDERS: dict[
    str, Callable[[str], Iterable[tuple[int, int]]]
] = {  # what is more certain first: it keeps its place
    "KEY": credentials.find,
    "EMAIL": patterns.emails,
    "IBAN": patterns.ibans,
    "ID": national_ids.find,
    "CARD": patterns.cards,
    "IP": patterns.addresses,
    "PHONE": phone_numbers.find,
    "ADDRESS": addresses.find,
}
SIGNS = b"@0123456789"  # all personal data has one of these: one look at other texts, and done
OTHER_DIGITS = re.compile(r"\d")  # those of other scripts as well


class Place(NamedTuple):
    """Where personal data of a kind stands in a text."""

    start: int
    end: int
    kind: str


def places(text: str) -> list[Place]:
    """Personal data in `text`, in its order; no two places overlap."""
    if not _likely(text):
        return []
    taken: list[Place] = []
    for kind, find in FINDERS.items():
        for start, end in find(text):
            if all(end <= other.start or other.end <= start for other in taken):
                taken.append(Place(start, end, kind))
    return sorted(taken)


def _likely(text: str) -> bool:
    raw = text.encode(errors="surrogatepass")
    return len(raw.translate(None, SIGNS)) < len(raw) or not (
        text.isascii() or OTHER_DIGITS.search(text) is None
    )


def found(text: str) -> list[str]:
    """The kinds of personal data in `text`, one name per place."""
    return [place.kind for place in places(text)]


@lru_cache(2**16)
def found_in_id(id: str) -> tuple[str, ...]:
    """The same of an id, kept in mind: many records have it in common."""
    return tuple(found(id))


def redact(text: str) -> tuple[str, Counter[str]]:
    """The text with <EMAIL>, <PHONE>, … in place of personal data, and how often each was put; nothing is found in the result."""
    counts: Counter[str] = Counter()
    while seen := places(text):
        for start, end, kind in reversed(seen):
            text = f"{text[:start]}<{kind}>{text[end:]}"
            counts[kind] += 1
    return text, counts
