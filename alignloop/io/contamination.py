"""What is measured must not have been learned: texts that share a run of words with an evaluation set.

Brown et al. (2020), appendix C: a run of 13 words in common is an overlap, unless more than ten learned texts have it, which makes it a
common phrase. In scripts without spaces a run is of so many signs (see words.py). Eight bytes a measured run, and two a shared one.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from alignloop.io.words import Hashes, flattened, hashed, runs

COMMON = 10  # learned questions that may share a run before it counts as a common phrase
AT_ONCE = 4096
NONE = np.zeros(0, np.uint64)


class Measured:
    """The runs of words of evaluation sets, and which learned texts share them."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._runs = [NONE]
        self._index: Hashes | None = None
        self._waiting: list[Hashes] = []
        self._shared: list[NDArray[np.int64]] = [np.zeros((0, 2), np.int64)]  # a learned record, and a run that it has
        self._about: list[int] = []

    def measure(self, texts: Iterable[str]) -> None:
        """Take what one measured record says, text by text: runs do not reach from one into the next."""
        self._runs += [runs(hashed(text), self._length) for text in texts]

    def learn(self, texts: Iterable[str], about: int) -> None:
        """Take what the next learned record says, and the number of its question; all that is measured has to be known by then."""
        self._waiting.append(np.unique(np.concatenate([NONE, *(runs(hashed(text), self._length) for text in texts)])))
        self._about.append(about)
        if len(self._waiting) == AT_ONCE:
            self._look_up()

    def overlapping(self) -> NDArray[np.bool_]:
        """For each learned record whether it shares a run with a measured one that is no common phrase."""
        self._look_up()
        records, shared = np.concatenate(self._shared).T
        questions = np.unique(np.stack([np.array(self._about, np.int64)[records], shared]), axis=1)[1]
        common = np.bincount(questions, minlength=1) > COMMON
        found = np.zeros(len(self._about), np.bool_)
        found[records[~common[shared]]] = True
        return found

    def _look_up(self) -> None:
        if self._index is None:
            self._index = np.unique(np.concatenate(self._runs))
            self._runs.clear()
        values, offsets = flattened(self._waiting)
        first = len(self._about) - len(self._waiting)
        owners = first + np.repeat(np.arange(len(self._waiting)), np.diff(offsets).astype(np.int64))
        places = np.searchsorted(self._index, values)
        known = places < len(self._index)
        known[known] = self._index[places[known]] == values[known]
        self._shared.append(np.stack([owners[known], places[known]], axis=1))
        self._waiting.clear()
