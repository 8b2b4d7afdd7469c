"""Hashes of words and word n-grams, in any script; case, width, white space and punctuation do not count.

In scripts without spaces between words (Chinese, Japanese, Thai, …) each character, with its combining
marks, counts as a word. The hashes are polynomials modulo 2⁶⁴ over the bytes of a word, or the words of
an n-gram, so that the hashes of many texts are computed at once.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]
UNSPACED = "".join(
    rf"\p{{{name}}}" for name in ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")
)
CHARACTER_OR_WORD = regex.compile(rf"(?V1)[[{UNSPACED}]&&\w]\p{{M}}*|[\w--[{UNSPACED}]]+")
ASCII_WORD = re.compile(r"\w+")
BASE = 0xD6E8FEB86659FD93  # odd, so that it has an inverse modulo 2**64
MIX = np.uint64(0xFF51AFD7ED558CCD)
AT_ONCE = 2**18  # bytes whose words are hashed together, which takes some 10 MB
# 1 for a byte of a word, else 0
IN_WORDS = bytes(byte >= 0x80 or bytes([byte]).isalnum() or byte == ord("_") for byte in range(256))


def words(text: str) -> list[str]:
    """The words of a text; the characters, where its script has no spaces."""
    if text.isascii():
        return ASCII_WORD.findall(text.lower())
    return CHARACTER_OR_WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class TextHashes(NamedTuple):
    """The hashes of N texts end to end.

    `values` is (M,). `offsets` is (N + 1,): where the hashes of each text begin, and the end.
    """

    values: Hashes
    offsets: Indices

    def row(self, number: int) -> Hashes:
        """The hashes of one text."""
        return self.values[self.offsets[number] : self.offsets[number + 1]]

    def lengths(self) -> Indices:
        """The number of hashes of each text: (N,)."""
        return np.diff(self.offsets)

    def owners(self) -> Indices:
        """The number of the text that each hash belongs to: (M,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths())


def word_hashes(texts: Sequence[str]) -> TextHashes:
    """The 64-bit hash of each word of each text, the same in every process."""
    encoded = [_encoded(text) for text in texts]
    ends = np.cumsum([0, *map(len, encoded)])
    cuts = sorted({0, *(np.flatnonzero(np.diff(ends // AT_ONCE)) + 1).tolist(), len(encoded)})
    parts = [_hashes(encoded[start:end]) for start, end in pairwise(cuts)] or [_hashes([])]
    return TextHashes(
        np.concatenate([part.values for part in parts]),
        _offsets(np.concatenate([part.lengths() for part in parts])),
    )


def ngram_hashes(words: TextHashes, length: int) -> TextHashes:
    """The hash of each n-gram of `length` words of each text; a text with fewer words has none."""
    lengths = np.maximum(words.lengths() - length + 1, 0)
    offsets = _offsets(lengths)
    starts = np.arange(offsets[-1]) + np.repeat(words.offsets[:-1] - offsets[:-1], lengths)
    return TextHashes(_span_hashes(words.values, starts, starts + length), offsets)


def prefix_hashes(words: TextHashes, lengths: Indices) -> Hashes:
    """The hash of the first `lengths[n]` words of each text n: (N,)."""
    return _span_hashes(words.values, words.offsets[:-1], words.offsets[:-1] + lengths)


def look_up(index: Hashes, values: Hashes) -> tuple[Indices, NDArray[np.bool_]]:
    """Where each value is, or would be, in the sorted index, and whether it is there: (M,) each."""
    places = np.searchsorted(index, values)
    present = places < len(index)
    present[present] = index[places[present]] == values[present]
    return places, present


def _encoded(text: str) -> bytes:
    """The words of a text as bytes, separated by bytes that belong to no word."""
    encoded = text.lower() if text.isascii() else " ".join(words(text))
    return encoded.encode(errors="surrogatepass") + b"\n"


def _hashes(encoded: Sequence[bytes]) -> TextHashes:
    joined = b"".join(encoded)
    edges = np.flatnonzero(np.diff(np.frombuffer(joined.translate(IN_WORDS), np.bool_), prepend=False))
    starts, ends = edges[::2], edges[1::2]
    values = _span_hashes(np.frombuffer(joined, np.uint8), starts, ends)
    offsets = np.searchsorted(starts, np.cumsum([0, *map(len, encoded)]))
    return TextHashes(values, offsets.astype(np.int64))


def _span_hashes(values: NDArray[Any], starts: Indices, ends: Indices) -> Hashes:
    """The hash of each span: Σ vᵢ·BASEⁱ from its start on, as a difference of two prefix sums."""
    powers, inverses = _powers(len(values))
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * powers, out=sums[1:])
    hashes = (sums[ends] - sums[starts]) * inverses[starts]
    hashes ^= hashes >> np.uint64(32)
    hashes *= MIX
    hashes ^= hashes >> np.uint64(29)
    return hashes


def _powers(count: int) -> tuple[Hashes, Hashes]:
    """BASEⁿ modulo 2**64 for n < count, and inverses for n ≤ count: the last for an empty final span."""
    powers, inverses = _tables(1 << count.bit_length())
    return powers[:count], inverses[: count + 1]


@cache
def _tables(count: int) -> tuple[Hashes, Hashes]:
    tables = []
    for base in (BASE, pow(BASE, -1, 2**64)):
        factors = np.full(count, base, np.uint64)
        factors[0] = 1
        tables.append(np.cumprod(factors))
    return tables[0], tables[1]


def _offsets(lengths: Indices) -> Indices:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
