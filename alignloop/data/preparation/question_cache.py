"""What the sets before have told of questions: workers need not sketch one again, nor find out its language.

It lies in files, by hash and in the order of the hashes, so that all workers share its memory.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alignloop.data.preparation.word_hashes import Hashes, Places, look_up

Codes = NDArray[np.bytes_]  # of languages: ISO 639-1, und or zxx


class Told(NamedTuple):
    """What a piece of a set tells: the hashes of its questions, and of what people say in its records, with the language of that."""

    questions: Hashes
    spoken: Hashes
    languages: Codes


class Known(NamedTuple):
    """All that was told, each hash once and in order."""

    questions: Hashes
    spoken: Hashes
    languages: Codes

    def unknown(self, questions: Sequence[int]) -> Places:
        """The places of those that no set before has asked."""
        return np.flatnonzero(~look_up(self.questions, np.asarray(questions, np.uint64))[1])

    def languages_of(self, spoken: Sequence[int]) -> list[str]:
        """The language of what people say, by its hash; nothing where no set before has said it."""
        places, met = look_up(self.spoken, np.asarray(spoken, np.uint64))
        found = np.zeros(len(met), "S3")
        found[met] = self.languages[places[met]]
        return found.astype(str).tolist()


def write(told: Iterable[Told], folder: Path) -> None:
    """Put what was told into files."""
    questions, spoken, languages = (np.concatenate(parts) for parts in zip(*told, strict=True))
    spoken, first = np.unique(spoken, return_index=True)
    folder.mkdir()
    for name, values in Known(np.unique(questions), spoken, languages[first])._asdict().items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)


@lru_cache(1)
def read(folder: Path) -> Known:
    """What lies in those files."""
    return Known(
        *(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in Known._fields)
    )
