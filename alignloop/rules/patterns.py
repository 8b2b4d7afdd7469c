"""Patterns and keywords, searched by RE2: in time linear in the text, whatever the pattern.

RE2 has no back-references and no look-around, which would need backtracking.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import re2

Spans = Iterator[tuple[int, int]]
IN_WORD = r"\pL\pM\pN_"  # of any script; RE2's own \w and \b know ASCII alone
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"  # no spaces between words
MOST_MEMORY = 2**26  # bytes of a compiled pattern and its automaton


def check_pattern(pattern: str) -> str:
    """The pattern. Raises ValueError unless RE2 reads it and it matches something, but not everything."""
    compiled = _compiled(pattern)
    if compiled.search("") is not None:
        raise ValueError("matches the empty text, so that every text would hit the rule")
    return pattern


def check_keywords(keywords: list[str]) -> list[str]:
    """The keywords. Raises ValueError for white space around one, or where they are too many for RE2."""
    if padded := [word for word in keywords if word != word.strip()]:
        raise ValueError(f"{padded[0]!r} has white space around it")
    for pattern in _patterns_of(tuple(keywords)):
        _compiled(pattern)
    return keywords


def find_pattern(pattern: str, text: str) -> Spans:
    """The spans of what a pattern matches."""
    return (match.span() for match in _compiled(pattern).finditer(_encodable(text)) if match[0])


def find_keywords(keywords: Sequence[str], text: str) -> Spans:
    """The spans of keywords as whole words, in upper and lower case; the longest of those at one place.

    In scripts without spaces between words they are found anywhere.
    """
    text = _encodable(text)
    for pattern in _patterns_of(tuple(keywords)):
        compiled, start = _compiled(pattern), 0
        while match := compiled.search(text, start):
            yield match.span(1)
            start = match.end(1)  # what follows a keyword may precede the next


@cache
def _patterns_of(keywords: tuple[str, ...]) -> list[str]:
    """A pattern for the keywords that are whole words, and one for those found anywhere: its group 1."""
    unspaced = _compiled(f"[{UNSPACED}]")
    whole, anywhere = [], []
    for word in sorted(keywords, key=len, reverse=True):
        is_unspaced = unspaced.search(_encodable(word[0] + word[-1])) is not None
        (anywhere if is_unspaced else whole).append(re2.escape(word).replace("\\ ", r"\s+"))
    apart = rf"[^{IN_WORD}]|[{UNSPACED}]"
    patterns = [rf"(?i)(?:^|{apart})({'|'.join(whole)})(?:{apart}|$)"] if whole else []
    return [*patterns, f"(?i)({'|'.join(anywhere)})"] if anywhere else patterns


@cache
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MOST_MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else error
        words = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        hint = " (no look-around, no back-references)" if r"\1" in words or "(?" in words else ""
        raise ValueError(f"must be a regular expression of RE2{hint}: {words}") from None


def _encodable(text: str) -> str:
    """The text with a `?` for each half of a surrogate pair, so that places stay."""
    return text.encode(errors="replace").decode()
