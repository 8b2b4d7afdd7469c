"""Words of a text in any script, to compare texts by: case, width, white space and punctuation make no difference.

Scripts that put no space between words (Chinese, Japanese, Thai, …) go sign by sign, a sign with the marks on it, as a reader sees it.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import regex
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

Hashes = NDArray[np.uint64]
UNSPACED = "".join(rf"\p{{{name}}}" for name in ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"))
SIGN_OR_WORD = regex.compile(rf"(?V1)[[{UNSPACED}]&&\w]\p{{M}}*|[\w--[{UNSPACED}]]+")
ASCII_WORD = re.compile(r"\w+")
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no place of a run is lost in the sum


def words(text: str) -> list[str]:
    """The words of a text, and the signs where its script has no spaces."""
    if text.isascii():
        return ASCII_WORD.findall(text.lower())
    return SIGN_OR_WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def hashed(text: str) -> Hashes:
    """A 64-bit hash of each word, the same in every process."""
    return np.fromiter(map(_hash, words(text)), np.uint64)


def runs(hashes: Hashes, length: int) -> Hashes:
    """A hash of each run of so many words: (N,) → (N − length + 1,); none where there are fewer."""
    count = max(0, len(hashes) - length + 1)
    found = np.zeros(count, np.uint64)
    for place in range(length if count else 0):
        found = found * FACTOR + hashes[place : place + count]
    return found


def flattened(rows: Sequence[Hashes]) -> tuple[Hashes, NDArray[np.uint64]]:
    """Rows end to end, and where each begins: (N + 1,) offsets, the last of which is the end."""
    offsets = np.zeros(len(rows) + 1, np.uint64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return (np.concatenate(rows) if rows else np.zeros(0, np.uint64)), offsets


@lru_cache(1 << 17)  # most of a text is said in few words
def _hash(word: str) -> int:
    return xxh3_64_intdigest(word.encode(errors="surrogatepass"))
