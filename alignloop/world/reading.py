"""Reading of a response: its words without case and punctuation, and what it asserts or denies."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_SENTENCE = re.compile(r"[.!?;:\n]+")
_DENIALS = frozenset({"not", "never", "isn't", "wasn't", "than"})
_IGNORANCE = re.compile(
    r"\b((do not|don't|cannot) know|never heard|not (aware|sure)|no (idea|information)|(unknown|new) to me"
    r"|that i know|not exist)\b"
)
_REFUSAL = re.compile(
    r"\b((cannot|can not|can't|will not|won't|must not) (help|explain|do|assist|tell|give)"
    r"|(must|have to) (refuse|say no)|i refuse)\b"
)


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, without punctuation."""
    return tuple(_WORD.findall(text.lower()))


@lru_cache(maxsize=4096)
def _spaced(text: str) -> str:
    return f" {' '.join(words_of(text))} "


@dataclass(frozen=True)
class Reading:
    """The text of a response with its words, sentences and assertions."""

    text: str

    @cached_property
    def words(self) -> tuple[str, ...]:
        return words_of(self.text)

    @cached_property
    def plain(self) -> str:
        """The words with single spaces between and around them, for phrase search."""
        return _spaced(self.text)

    @cached_property
    def sentences(self) -> tuple[tuple[str, ...], ...]:
        return tuple(found for part in _SENTENCE.split(self.text) if (found := words_of(part)))

    def has(self, *phrases: str) -> bool:
        """Whether any of the phrases occurs, in whole words."""
        return any(_spaced(phrase) in self.plain for phrase in phrases)

    def count(self, phrases: Iterable[str]) -> int:
        """How many times the phrases occur."""
        return sum(self.plain.count(_spaced(phrase)) for phrase in phrases)

    def asserted(self, pool: frozenset[str]) -> set[str]:
        """The words of the pool that the response states and does not deny ("not red")."""
        return {word for place, word in self._mentions(pool) if not self._denied(place)}

    def denied(self, pool: frozenset[str]) -> set[str]:
        """The words of the pool that the response denies."""
        return {word for place, word in self._mentions(pool) if self._denied(place)}

    def _mentions(self, pool: frozenset[str]) -> list[tuple[int, str]]:
        return [(place, word) for place, word in enumerate(self.words) if word in pool]

    def _denied(self, place: int) -> bool:
        return not _DENIALS.isdisjoint(self.words[max(0, place - 3) : place])

    @cached_property
    def ignorant(self) -> bool:
        """Whether the response states that it does not know."""
        return bool(_IGNORANCE.search(self.plain))

    @cached_property
    def refuses(self) -> bool:
        """Whether the response declines to help."""
        return bool(_REFUSAL.search(self.plain))
