"""Texts that say nearly the same: by MinHash signatures of runs of words that meet in bands, or by a long common beginning.

Broder, On the resemblance and containment of documents (1997); Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, ch. 3. Time and
memory are linear in the number of texts, 256 bytes each: whatever meets in a band is compared with the first that came there, by signature.
A sketch is made of each text by itself, wherever that is done; `Alike` compares them.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alignloop.data.preparation.word_hashes import Hashes, Places, Rows, beginnings, hashed, runs

SLOTS = 128  # of a signature: the resemblance of two texts is told to ±0.03 at 0.9
RUN = 5  # words
SEED = 1
TEXTS = 500  # sketched together: what is made of them meanwhile stays in the processor's cache
AT_ONCE = 4096
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no slot of a band is lost in the sum


def band_of(threshold: float) -> int:
    """Slots in a band: as many as still let 99 of 100 pairs at the threshold meet in one of the bands."""
    return next((slots for slots in (16, 8, 4, 2) if (1 - threshold**slots) ** (SLOTS // slots) <= 0.01), 1)


class Sketches(NamedTuple):
    """What is kept of N texts to compare them: signatures, (N, 128), and a hash of each one's beginning, (N,), 0 where it is shorter."""

    signatures: NDArray[np.uint16]
    begun: Hashes

    def of(self, chosen: Places) -> "Sketches":
        """Those of some of the texts."""
        return Sketches(self.signatures[chosen], self.begun[chosen])


def sketches(
    texts: Sequence[str], before: Sequence[str] = (), *, near: bool = True, beginning: int | None = None
) -> Sketches:
    """Sketches of texts: with `near` their signatures, with `beginning` a hash of their first words.

    What was said `before` belongs to a text, but is no beginning that two texts have in common by themselves.
    """
    starts = range(0, max(1, len(texts)), TEXTS)
    parts = [
        _sketches(texts[start : start + TEXTS], before[start : start + TEXTS], near, beginning)
        for start in starts
    ]
    return Sketches(*map(np.concatenate, zip(*parts, strict=True)))


def _sketches(texts: Sequence[str], before: Sequence[str], near: bool, beginning: int | None) -> Sketches:
    said, earlier = hashed(texts), hashed(before or [""] * len(texts))
    full = _joined(earlier, said)
    begun = np.zeros(len(texts), np.uint64)
    if beginning is not None:
        begins = said.lengths() >= beginning
        begun[begins] = beginnings(full, np.where(begins, earlier.lengths() + beginning, 0))[begins]
    return Sketches(_signatures(texts, full) if near else np.zeros((len(texts), 0), np.uint16), begun)


class Alike:
    """Texts as they come, by number; `groups` tells which say nearly the same."""

    def __init__(self, threshold: float | None) -> None:
        """Texts are alike whose runs of five words have a Jaccard index of `threshold`, or that have begun alike."""
        self._threshold = threshold
        self._signatures = bytearray()  # one piece of memory, for there may be millions
        self._begun: list[Hashes] = []

    def add(self, sketches: Sketches) -> None:
        """Take the next texts."""
        self._signatures += sketches.signatures.tobytes()
        self._begun.append(sketches.begun)

    def groups(self) -> Places:
        """For each text the number of the first in its group: its own where none before is alike, directly or by others between."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        begun = np.concatenate([np.zeros(0, np.uint64), *self._begun])
        pairs = np.concatenate([self._near(), _with_first(begun, np.flatnonzero(begun))])
        graph = coo_array(
            (np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(len(begun), len(begun))
        )
        _, labels = connected_components(graph, directed=False)
        _, first = np.unique(labels, return_index=True)
        return first[labels]

    def _near(self) -> Places:
        if self._threshold is None:
            return np.zeros((0, 2), np.int64)
        signatures, width = (
            np.frombuffer(self._signatures, np.uint16).reshape(-1, SLOTS),
            band_of(self._threshold),
        )
        with ThreadPoolExecutor(os.cpu_count()) as threads:  # sorting leaves Python's lock alone
            return np.concatenate(
                [*threads.map(partial(_alike, signatures, width, self._threshold), range(0, SLOTS, width))]
            )


def _alike(signatures: NDArray[np.uint16], width: int, threshold: float, start: int) -> Places:
    """Of the texts that meet in the band of so many slots that starts there, those that are alike: (M, 2)."""
    met = np.zeros(len(signatures), np.uint64)
    for slot in range(start, start + width):
        met = met * FACTOR + signatures[:, slot]
    pairs = _with_first(met, np.arange(len(met)))
    found = [np.zeros((0, 2), np.int64)]
    for part in np.array_split(pairs, len(pairs) // AT_ONCE + 1):
        same = (signatures[part[:, 0]] == signatures[part[:, 1]]).mean(axis=1)
        found.append(part[same >= threshold])
    return np.concatenate(found)


def _joined(first: Rows, second: Rows) -> Rows:
    """Each row of the first, and that of the second behind it."""
    lengths = np.stack([first.lengths(), second.lengths()], axis=1).ravel()
    ends = np.cumsum(lengths)
    values = np.empty(len(first.values) + len(second.values), np.uint64)
    of_first = np.repeat(np.arange(len(lengths)) % 2 == 0, lengths)
    values[of_first], values[~of_first] = first.values, second.values
    return Rows(values, np.concatenate([[0], ends[1::2]]))


def _signatures(texts: Sequence[str], said: Rows) -> NDArray[np.uint16]:
    from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]  its stubs are none

    told = runs(said, RUN)
    short = np.flatnonzero(told.lengths() == 0)
    stands = beginnings(said, said.lengths())[
        short
    ]  # of less than a run: all its words, or its signs where it has none
    wordless = (said.lengths()[short] == 0).nonzero()[0]
    for place in wordless.tolist():
        stands[place] = _signs(texts[int(short[place])])
    offsets = told.offsets.astype(np.uint64)
    offsets[1:] += np.cumsum(told.lengths() == 0, dtype=np.uint64)
    values = np.insert(told.values, told.offsets[short], stands)
    rows = RMinHash.digest_matrix_from_flat_token_hashes(values, offsets, SLOTS, SEED).to_rows()
    return (
        np.array(rows, np.uint32).reshape(len(texts), SLOTS).astype(np.uint16)
    )  # 16 bits tell as much: Li and König (2010)


def _signs(text: str) -> int:
    return int.from_bytes(text.encode(errors="surrogatepass").ljust(8)[:8], "little")


def _with_first(values: Hashes, places: Places) -> Places:
    """Of these places, each whose value stood at one before, behind the first of those: (M, 2)."""
    _, first, inverse = np.unique(values[places], return_index=True, return_inverse=True)
    pairs = np.stack([places[first[inverse]], places], axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]]
