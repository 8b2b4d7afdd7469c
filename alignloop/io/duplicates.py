"""Texts that say nearly the same: by MinHash signatures of runs of words that meet in bands, or by a long common beginning.

Broder, On the resemblance and containment of documents (1997); Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, ch. 3. Time and
memory are linear in the number of texts, 256 bytes each: whatever meets in a band is compared with the first that came there, by signature.
"""

import numpy as np
from numpy.typing import NDArray

from alignloop.io.words import FACTOR, Hashes, flattened, hashed, runs

Places = NDArray[np.int64]
SLOTS = 128  # of a signature: the resemblance of two texts is told to ±0.03 at 0.9
RUN = 5  # words
SEED = 1
AT_ONCE = 4096


def band_of(threshold: float) -> int:
    """Slots in a band: as many as still let 99 of 100 pairs at the threshold meet in one of the bands."""
    return next((slots for slots in (16, 8, 4, 2) if (1 - threshold**slots) ** (SLOTS // slots) <= 0.01), 1)


class Alike:
    """Texts as they come, by number; `groups` tells which say nearly the same."""

    def __init__(self, threshold: float | None, beginning: int | None = None) -> None:
        """Texts are alike whose runs of five words have a Jaccard index of `threshold`, or that share their first `beginning` words."""
        self._threshold, self._beginning = threshold, beginning
        self._waiting: list[Hashes] = []
        self._signatures: list[NDArray[np.uint16]] = []
        self._begun: list[int] = []
        self._count = 0

    def add(self, text: str, before: str = "") -> None:
        """Take the next text. What was said `before` it belongs to it, but is no beginning that two texts have in common by themselves."""
        said = hashed(f"{before}\n{text}")
        if self._threshold is not None:
            exact = np.frombuffer(text.encode().ljust(8)[:8], np.uint64)  # signs without a word
            self._waiting.append(runs(said, min(RUN, len(said))) if len(said) else exact)
            if len(self._waiting) == AT_ONCE:
                self._sketch()
        if self._beginning is not None:
            earlier = len(said) - len(hashed(text))
            first = said[: earlier + self._beginning]
            self._begun.append(int(runs(first, len(first))[0]) if len(first) == earlier + self._beginning else 0)
        self._count += 1

    def groups(self) -> Places:
        """For each text the number of the first in its group: its own where none before is alike, directly or by others between."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        pairs = np.concatenate([self._near(), self._begun_alike()])
        graph = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(self._count, self._count))
        _, labels = connected_components(graph, directed=False)
        _, first = np.unique(labels, return_index=True)
        return first[labels]

    def _sketch(self) -> None:
        from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]  its stubs are none

        rows = RMinHash.digest_matrix_from_flat_token_hashes(*flattened(self._waiting), SLOTS, SEED).to_rows()
        self._signatures.append(np.array(rows, np.uint32).astype(np.uint16))  # 16 bits tell as much: Li and König (2010)
        self._waiting.clear()

    def _near(self) -> Places:
        if self._waiting:
            self._sketch()
        found = [np.zeros((0, 2), np.int64)]
        if self._threshold is None or not self._signatures:
            return found[0]
        signatures, width = np.concatenate(self._signatures), band_of(self._threshold)
        for start in range(0, SLOTS, width):
            met = np.zeros(len(signatures), np.uint64)
            for slot in range(start, start + width):
                met = met * FACTOR + signatures[:, slot]
            pairs = _with_first(met, np.arange(len(met)))
            for part in np.array_split(pairs, len(pairs) // AT_ONCE + 1):
                same = (signatures[part[:, 0]] == signatures[part[:, 1]]).mean(axis=1)
                found.append(part[same >= self._threshold])
        return np.concatenate(found)

    def _begun_alike(self) -> Places:
        begun = np.array(self._begun, np.uint64)
        return _with_first(begun, np.flatnonzero(begun))


def _with_first(values: Hashes, places: Places) -> Places:
    """Of these places, each whose value stood at one before, behind the first of those: (M, 2)."""
    _, first, inverse = np.unique(values[places], return_index=True, return_inverse=True)
    pairs = np.stack([places[first[inverse]], places], axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]]
