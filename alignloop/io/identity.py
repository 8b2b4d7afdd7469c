"""When two things are the same: ids made of what was said, and the text of a prompt without the differences that are none."""

from collections.abc import Iterable
from hashlib import blake2b

SEPARATOR = "\x1f"


def identify(name: str, *content: str) -> str:
    """An id that depends on what was said and not on the file's name or the line: it stays when a source grows or moves."""
    return f"{name}-{blake2b(SEPARATOR.join(content).encode(), digest_size=8).hexdigest()}"


def wording(turns: Iterable[tuple[str, str]]) -> str:
    """The text of (role, content) turns with case and white space made one: equal wordings are one prompt."""
    return "\n".join(f"{role}: {' '.join(content.casefold().split())}" for role, content in turns)
