"""ROUGE-L between a new instruction and those so far: as Self-Instruct filters (arXiv 2212.10560, §2.2)."""

from collections import Counter
from collections.abc import Sequence

from alignloop.data.preparation.word_hashes import words


def rouge_l(one: Sequence[str], other: Sequence[str]) -> float:
    """ROUGE-L of two texts' words: the F-measure of their longest common subsequence (Lin, 2004)."""
    if not one or not other:
        return 0.0
    return 2 * _common(_places(one), len(one), other) / (len(one) + len(other))


class Instructions:
    """Instructions, to which a new one is added only if it is unlike all of them."""

    def __init__(self, texts: Sequence[str], max_similarity: float) -> None:
        self._most = max_similarity
        self._known: list[tuple[list[str], Counter[str]]] = []
        for text in texts:
            self._add(words(text))

    def add(self, text: str) -> bool:
        """Add a text unless its ROUGE-L with one of them exceeds the bound; says whether it was added."""
        new = words(text)
        counts, places = Counter(new), _places(new)
        for known, known_counts in self._known:
            length = len(new) + len(known)
            # a common subsequence has no more words than both have in common in any order
            if 2 * (counts & known_counts).total() <= self._most * length:
                continue
            if 2 * _common(places, len(new), known) > self._most * length:
                return False
        self._add(new)
        return True

    def _add(self, new: list[str]) -> None:
        self._known.append((new, Counter(new)))


def _places(text: Sequence[str]) -> dict[str, int]:
    """For each word a number that has a bit set at each of its places."""
    places: dict[str, int] = {}
    for place, word in enumerate(text):
        places[word] = places.get(word, 0) | 1 << place
    return places


def _common(places: dict[str, int], length: int, other: Sequence[str]) -> int:
    """The length of the longest common subsequence, by bits (Hyyrö, 2004)."""
    everything = (1 << length) - 1
    row = everything
    for word in other:
        matches = row & places.get(word, 0)
        row = (row + matches) | (row - matches)
    return length - (row & everything).bit_count()
