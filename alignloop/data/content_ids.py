"""Ids made from a record's content, and the normalised text by which equal prompts are recognised."""

from collections.abc import Iterable
from hashlib import blake2b

SEPARATOR = "\x1f"


def content_id(name: str, *content: str) -> str:
    """An id that depends on the content only, not on the file's name or the line.

    It stays the same when a source grows or its rows move.
    """
    return f"{name}-{blake2b(SEPARATOR.join(content).encode(), digest_size=8).hexdigest()}"


def hash64(*content: object) -> int:
    """A 64-bit hash of the content. Among ten million items the chance of a collision is 3 in a million."""
    return int.from_bytes(blake2b(SEPARATOR.join(map(str, content)).encode(), digest_size=8).digest(), "big")


def normalised_text(turns: Iterable[tuple[str, str]]) -> str:
    """The text of (role, content) turns, with case and white space normalised: equal texts are one prompt."""
    return "\n".join(f"{role}: {' '.join(content.casefold().split())}" for role, content in turns)
