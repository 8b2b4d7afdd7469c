"""Words of a text in any script, to compare texts by: case, width, white space and punctuation make no difference.

Scripts that put no space between words (Chinese, Japanese, Thai, …) go sign by sign, a sign with the marks on it, as a reader sees it.
Hashes are polynomials modulo 2⁶⁴, of a word's bytes and of a run's words, so that those of many texts are made at once.
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
Places = NDArray[np.int64]
UNSPACED = "".join(
    rf"\p{{{name}}}" for name in ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")
)
SIGN_OR_WORD = regex.compile(rf"(?V1)[[{UNSPACED}]&&\w]\p{{M}}*|[\w--[{UNSPACED}]]+")
ASCII_WORD = re.compile(r"\w+")
BASE = 0xD6E8FEB86659FD93  # odd, so that it has an inverse modulo 2**64
MIX = np.uint64(0xFF51AFD7ED558CCD)
AT_ONCE = 2**18  # bytes whose words are hashed together: some 10 MB while it lasts
IN_WORDS = bytes(
    byte >= 0x80 or bytes([byte]).isalnum() or byte == ord("_") for byte in range(256)
)  # 1 for a byte of a word, else 0


def words(text: str) -> list[str]:
    """The words of a text, and the signs where its script has no spaces."""
    if text.isascii():
        return ASCII_WORD.findall(text.lower())
    return SIGN_OR_WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class Rows(NamedTuple):
    """Hashes of several texts end to end: (M,), and where each text's begin: (N + 1,) offsets, the last of which is the end."""

    values: Hashes
    offsets: Places

    def row(self, number: int) -> Hashes:
        """One text's."""
        return self.values[self.offsets[number] : self.offsets[number + 1]]

    def lengths(self) -> Places:
        """How many each text has."""
        return np.diff(self.offsets)

    def owners(self) -> Places:
        """The number of the text that each is of."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths())


def hashed(texts: Sequence[str]) -> Rows:
    """A 64-bit hash of each word of each text, the same in every process."""
    spelt = [_spelt(text) for text in texts]
    ends = np.cumsum([0, *map(len, spelt)])
    cuts = sorted({0, *(np.flatnonzero(np.diff(ends // AT_ONCE)) + 1).tolist(), len(spelt)})
    parts = [_hashed(spelt[start:end]) for start, end in pairwise(cuts)] or [_hashed([])]
    return Rows(
        np.concatenate([part.values for part in parts]),
        _offsets(np.concatenate([part.lengths() for part in parts])),
    )


def runs(rows: Rows, length: int) -> Rows:
    """A hash of each run of so many words of a text; a text of fewer has none."""
    lengths = np.maximum(rows.lengths() - length + 1, 0)
    offsets = _offsets(lengths)
    starts = np.arange(offsets[-1]) + np.repeat(rows.offsets[:-1] - offsets[:-1], lengths)
    return Rows(_spans(rows.values, starts, starts + length), offsets)


def beginnings(rows: Rows, lengths: Places) -> Hashes:
    """A hash of the first words of each text, so many of each: (N,)."""
    return _spans(rows.values, rows.offsets[:-1], rows.offsets[:-1] + lengths)


def look_up(known: Hashes, values: Hashes) -> tuple[Places, NDArray[np.bool_]]:
    """Where each value stands, or would stand, among those known, which are in order; and whether it is one of them."""
    places = np.searchsorted(known, values)
    met = places < len(known)
    met[met] = known[places[met]] == values[met]
    return places, met


def _spelt(text: str) -> bytes:
    """A text's words, with something between them that is of none."""
    spelt = text.lower() if text.isascii() else " ".join(words(text))
    return spelt.encode(errors="surrogatepass") + b"\n"


def _hashed(spelt: Sequence[bytes]) -> Rows:
    joined = b"".join(spelt)
    edges = np.flatnonzero(np.diff(np.frombuffer(joined.translate(IN_WORDS), np.bool_), prepend=False))
    starts, ends = edges[::2], edges[1::2]
    values = _spans(np.frombuffer(joined, np.uint8), starts, ends)
    upto = np.searchsorted(starts, np.cumsum([0, *map(len, spelt)]))
    return Rows(values, upto.astype(np.int64))


def _spans(values: NDArray[Any], starts: Places, ends: Places) -> Hashes:
    """A hash of each span of the values: Σ vᵢ·BASEⁱ from its start on, as a difference of two sums from the first value on."""
    powers, inverses = _powers(len(values))
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * powers, out=sums[1:])
    found = (sums[ends] - sums[starts]) * inverses[starts]
    found ^= found >> np.uint64(32)
    found *= MIX
    found ^= found >> np.uint64(29)
    return found


def _powers(count: int) -> tuple[Hashes, Hashes]:
    """BASEⁿ modulo 2**64, and what undoes it, for n = 0, 1, …; one more of the latter, for a span of nothing at the end."""
    powers, inverses = _tables(1 << count.bit_length())
    return powers[:count], inverses[: count + 1]


@cache
def _tables(count: int) -> tuple[Hashes, Hashes]:
    made = []
    for base in (BASE, pow(BASE, -1, 2**64)):
        factors = np.full(count, base, np.uint64)
        factors[0] = 1
        made.append(np.cumprod(factors))
    return made[0], made[1]


def _offsets(lengths: Places) -> Places:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
