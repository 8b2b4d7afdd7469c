"""When two things are the same: ids made of what was said, and the text of a prompt without the differences that are none."""

from collections.abc import Iterable
from hashlib import blake2b

SEPARATOR = "\x1f"


def identify(name: str, *content: str) -> str:
    """An id that depends on what was said and not on the file's name or the line: it stays when a source grows or moves."""
    return f"{name}-{blake2b(SEPARATOR.join(content).encode(), digest_size=8).hexdigest()}"


def number_of(*content: object) -> int:
    """64 bits that stand for what was said: that two of ten million things share theirs has a chance of 3 in a million."""
    return int.from_bytes(blake2b(SEPARATOR.join(map(str, content)).encode(), digest_size=8).digest(), "big")


def wording(turns: Iterable[tuple[str, str]]) -> str:
    """The text of (role, content) turns with case and white space made one: equal wordings are one prompt."""
    return "\n".join(f"{role}: {' '.join(content.casefold().split())}" for role, content in turns)
