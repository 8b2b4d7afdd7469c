"""Near-duplicate texts, by MinHash signatures of word 5-grams in LSH bands, or by a shared prefix.

Broder, On the resemblance and containment of documents (1997); Leskovec, Rajaraman and Ullman, Mining of
Massive Datasets, chapter 3. Time and memory are linear in the number of texts, at 256 bytes per text: a
text is compared, by its signature, with the first text in each of its buckets only. Any process can
sketch a text by itself; `NearDuplicates` compares the sketches.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alignloop.data.preparation.word_hashes import (
    Hashes,
    Indices,
    TextHashes,
    ngram_hashes,
    prefix_hashes,
    word_hashes,
)

SLOTS = 128  # of a signature: it estimates a similarity of 0.9 to ±0.03
NGRAM = 5  # words
SEED = 1
TEXTS = 500  # sketched together: their intermediate results fit the processor's cache
AT_ONCE = 4096
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no slot of a band is lost in the sum


def band_width(threshold: float) -> int:
    """The widest band, in slots, at which 99 % of the pairs at the threshold share a bucket of some band."""
    return next((slots for slots in (16, 8, 4, 2) if (1 - threshold**slots) ** (SLOTS // slots) <= 0.01), 1)


class Sketches(NamedTuple):
    """What is kept of N texts in order to compare them.

    `signatures` is (N, 128), or (N, 0) where they are not wanted; `beginnings` is (N,), a hash of each
    text's first words, and 0 where the text has fewer.
    """

    signatures: NDArray[np.uint16]
    beginnings: Hashes

    def select(self, texts: Indices) -> "Sketches":
        """The sketches of some of the texts."""
        return Sketches(self.signatures[texts], self.beginnings[texts])


def sketch_texts(
    texts: Sequence[str], before: Sequence[str] = (), *, near: bool = True, beginning: int | None = None
) -> Sketches:
    """Sketch texts: with `near` their signatures, with `beginning` a hash of so many first words.

    `before` holds the earlier turns of each conversation. They belong to the text, but only words of the
    text itself count as its beginning.
    """
    starts = range(0, max(1, len(texts)), TEXTS)
    parts = [
        _sketches(texts[start : start + TEXTS], before[start : start + TEXTS], near, beginning)
        for start in starts
    ]
    return Sketches(*map(np.concatenate, zip(*parts, strict=True)))


def _sketches(texts: Sequence[str], before: Sequence[str], near: bool, beginning: int | None) -> Sketches:
    last, earlier = word_hashes(texts), word_hashes(before or [""] * len(texts))
    full = _joined(earlier, last)
    beginnings = np.zeros(len(texts), np.uint64)
    if beginning is not None:
        long = last.lengths() >= beginning
        beginnings[long] = prefix_hashes(full, np.where(long, earlier.lengths() + beginning, 0))[long]
    return Sketches(_signatures(texts, full) if near else np.zeros((len(texts), 0), np.uint16), beginnings)


class NearDuplicates:
    """Collects the sketches of texts, which are numbered in order; `groups` finds the near-duplicates."""

    def __init__(self, threshold: float | None) -> None:
        """Near-duplicates have 5-grams with a Jaccard index of at least `threshold`, or begin alike."""
        self._threshold = threshold
        self._signatures = bytearray()  # one block of memory, as there may be millions
        self._beginnings: list[Hashes] = []

    def add(self, sketches: Sketches) -> None:
        """Add the sketches of the next texts."""
        self._signatures += sketches.signatures.tobytes()
        self._beginnings.append(sketches.beginnings)

    def groups(self) -> Indices:
        """For each text the number of the first text in its group: (N,).

        Groups are connected components: two texts may be linked through others between them.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        beginnings = np.concatenate([np.zeros(0, np.uint64), *self._beginnings])
        pairs = np.concatenate([self._similar_pairs(), _first_pairs(beginnings, np.flatnonzero(beginnings))])
        graph = coo_array(
            (np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])),
            shape=(len(beginnings), len(beginnings)),
        )
        _, labels = connected_components(graph, directed=False)
        _, first = np.unique(labels, return_index=True)
        return first[labels]

    def _similar_pairs(self) -> Indices:
        if self._threshold is None:
            return np.zeros((0, 2), np.int64)
        signatures = np.frombuffer(self._signatures, np.uint16).reshape(-1, SLOTS)
        width = band_width(self._threshold)
        compare = partial(_pairs_of_band, signatures, width, self._threshold)
        with ThreadPoolExecutor(os.cpu_count()) as threads:  # sorting releases Python's lock
            return np.concatenate([*threads.map(compare, range(0, SLOTS, width))])


def _pairs_of_band(signatures: NDArray[np.uint16], width: int, threshold: float, start: int) -> Indices:
    """The similar pairs of texts that share a bucket of the band [start, start + width): (M, 2)."""
    buckets = np.zeros(len(signatures), np.uint64)
    for slot in range(start, start + width):
        buckets = buckets * FACTOR + signatures[:, slot]
    pairs = _first_pairs(buckets, np.arange(len(buckets)))
    similar = [np.zeros((0, 2), np.int64)]
    for part in np.array_split(pairs, len(pairs) // AT_ONCE + 1):
        similarity = (signatures[part[:, 0]] == signatures[part[:, 1]]).mean(axis=1)
        similar.append(part[similarity >= threshold])
    return np.concatenate(similar)


def _joined(first: TextHashes, second: TextHashes) -> TextHashes:
    """Each text of `first`, followed by the same text of `second`."""
    lengths = np.stack([first.lengths(), second.lengths()], axis=1).ravel()
    ends = np.cumsum(lengths)
    values = np.empty(len(first.values) + len(second.values), np.uint64)
    of_first = np.repeat(np.arange(len(lengths)) % 2 == 0, lengths)
    values[of_first], values[~of_first] = first.values, second.values
    return TextHashes(values, np.concatenate([[0], ends[1::2]]))


def _signatures(texts: Sequence[str], words: TextHashes) -> NDArray[np.uint16]:
    from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]  its stubs are none

    ngrams = ngram_hashes(words, NGRAM)
    # a text shorter than an n-gram is represented by all its words, or by its characters if it has no words
    short = np.flatnonzero(ngrams.lengths() == 0)
    substitutes = prefix_hashes(words, words.lengths())[short]
    wordless = (words.lengths()[short] == 0).nonzero()[0]
    for index in wordless.tolist():
        substitutes[index] = _first_bytes(texts[int(short[index])])
    offsets = ngrams.offsets.astype(np.uint64)
    offsets[1:] += np.cumsum(ngrams.lengths() == 0, dtype=np.uint64)
    values = np.insert(ngrams.values, ngrams.offsets[short], substitutes)
    rows = RMinHash.digest_matrix_from_flat_token_hashes(values, offsets, SLOTS, SEED).to_rows()
    signatures = np.array(rows, np.uint32).reshape(len(texts), SLOTS)
    return signatures.astype(np.uint16)  # 16 bits suffice: Li and König (2010)


def _first_bytes(text: str) -> int:
    return int.from_bytes(text.encode(errors="surrogatepass").ljust(8)[:8], "little")


def _first_pairs(values: Hashes, indices: Indices) -> Indices:
    """Pairs (first index with this value, index) for each of the indices that is not the first: (M, 2)."""
    _, first, inverse = np.unique(values[indices], return_index=True, return_inverse=True)
    pairs = np.stack([indices[first[inverse]], indices], axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]]
