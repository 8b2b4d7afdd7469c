"""What is measured must not have been learned: texts that share a run of words with an evaluation set.

Brown et al. (2020), appendix C: a run of 13 words in common is an overlap, unless more than ten learned texts have it, which makes it a
common phrase. In scripts without spaces a run is of so many signs (see words.py). Twenty bytes a measured run, two a shared one.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alignloop.data.preparation.word_hashes import Hashes, Places, Rows, hashed, look_up, runs

MARKS = 8  # for each measured run: one other run in eight, or fewer, is looked up in vain
COMMON = 10  # learned questions that may share a run before it counts as a common phrase
Texts = Sequence[Sequence[str]]  # what records say, text by text: runs do not reach from one into the next


def told(records: Texts, length: int) -> Rows:
    """The runs of each record's texts."""
    counts = np.cumsum([0, *map(len, records)])
    found = runs(hashed([text for texts in records for text in texts]), length)
    return Rows(found.values, found.offsets[counts])


def index(measured: Iterable[Hashes], file: Path) -> None:
    """Write down what is measured: each run once, in order, and marks that tell most others from them, to be looked up by any process."""
    with file.open("wb") as collected:  # not in memory: many are met again and again
        for values in measured:
            values.tofile(collected)
    values = np.fromfile(file, np.uint64)
    values.sort()
    known = values[np.diff(values, prepend=~values[:1]) != 0]
    marks = np.zeros(1 << (MARKS * len(known)).bit_length(), np.bool_)
    marks[_places(known, marks)] = True
    np.save(file, known, allow_pickle=False)
    np.save(_marks(file), marks, allow_pickle=False)


def shared(records: Rows, file: Path) -> tuple[Places, Places]:
    """Which records have which measured runs: the places of both, each pair once."""
    known, marks = (
        np.asarray(np.load(each, mmap_mode="r", allow_pickle=False)) for each in (file, _marks(file))
    )
    marked = np.flatnonzero(marks[_places(records.values, marks)])
    values, first = np.unique(
        records.values[marked], return_inverse=True
    )  # in order: neighbours are looked up side by side
    places, met = look_up(known, values)
    owners = records.owners()[marked[met[first]]]
    pairs = np.unique(owners * len(known) + places[first[met[first]]])
    return pairs // max(1, len(known)), pairs % max(1, len(known))


def _places(values: Hashes, marks: NDArray[np.bool_]) -> Places:
    """Where a run's mark is, by the last bits of its hash."""
    return (values & np.uint64(len(marks) - 1)).astype(np.int64)


def _marks(file: Path) -> Path:
    return file.with_suffix(".marks.npy")


def overlapping(records: Places, runs: Places, about: NDArray[np.int64]) -> NDArray[np.bool_]:
    """For each learned record, by what it is about, whether it shares a run with a measured one that is no common phrase."""
    size = runs.max(initial=0) + 1
    _, asked = np.unique(about[records], return_inverse=True)
    questions = np.unique(asked * size + runs) % size
    common = np.bincount(questions, minlength=size) > COMMON
    found = np.zeros(len(about), np.bool_)
    found[records[~common[runs]]] = True
    return found
