"""Detects personal data (PII) in text and replaces it by placeholders that name its kind.

Kinds: credentials, e-mail addresses, IBANs, payment cards, IP addresses, national ids, phone numbers,
street addresses. They are found by patterns; python-stdnum and phonenumbers check the numbers,
detect-secrets the credentials. Left out: names, which patterns cannot tell from other words. `python -m
benchmarks.redaction` measures precision and recall.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from alignloop.data.pii import addresses, credentials, national_ids, patterns, phone_numbers

# the more certain kinds first: they win where spans overlap
FINDERS: dict[str, Callable[[str], Iterable[tuple[int, int]]]] = {
    "KEY": credentials.find,
    "EMAIL": patterns.emails,
    "IBAN": patterns.ibans,
    "ID": national_ids.find,
    "CARD": patterns.cards,
    "IP": patterns.ip_addresses,
    "PHONE": phone_numbers.find,
    "ADDRESS": addresses.find,
}
SIGNS = b"@0123456789"  # every kind contains one of these: other texts are done after one look
ANY_DIGIT = re.compile(r"\d")  # of any script


class Span(NamedTuple):
    """A span of personal data in a text, and its kind."""

    start: int
    end: int
    kind: str


def find_spans(text: str) -> list[Span]:
    """The spans of personal data in `text`, in order; none overlap."""
    if not _likely(text):
        return []
    spans: list[Span] = []
    for kind, find in FINDERS.items():
        for start, end in find(text):
            if all(end <= other.start or other.end <= start for other in spans):
                spans.append(Span(start, end, kind))
    return sorted(spans)


def _likely(text: str) -> bool:
    raw = text.encode(errors="surrogatepass")
    if len(raw.translate(None, SIGNS)) < len(raw):
        return True
    return not text.isascii() and ANY_DIGIT.search(text) is not None


def kinds_in(text: str) -> list[str]:
    """The kinds of personal data in `text`, one per span."""
    return [span.kind for span in find_spans(text)]


@lru_cache(2**16)
def kinds_in_id(id: str) -> tuple[str, ...]:
    """Like `kinds_in`, cached, for user ids, which many records share."""
    return tuple(kinds_in(id))


def redact(text: str) -> tuple[str, Counter[str]]:
    """Replace personal data by <EMAIL>, <PHONE>, …; returns the text and the number of each placeholder.

    Repeats until nothing is found in the result.
    """
    counts: Counter[str] = Counter()
    while spans := find_spans(text):
        for start, end, kind in reversed(spans):
            text = f"{text[:start]}<{kind}>{text[end:]}"
            counts[kind] += 1
    return text, counts
