"""Overlap of word n-grams between training and evaluation texts, on hashes.

Brown et al. (2020), appendix C: a common 13-gram is an overlap, unless more than ten training texts have
it, which makes it a common phrase. In scripts without spaces an n-gram consists of so many characters
(see word_hashes.py). Memory: twenty bytes per evaluation n-gram, two per shared one.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alignloop.data.preparation.word_hashes import (
    Hashes,
    Indices,
    TextHashes,
    look_up,
    ngram_hashes,
    word_hashes,
)

BITS = 8  # of the bitmap for each evaluation n-gram: at most one other n-gram in eight is looked up in vain
COMMON = 10  # training prompts that may share an n-gram before it counts as a common phrase
Texts = Sequence[Sequence[str]]  # the texts of each record: n-grams do not reach from one text into the next


def record_ngrams(records: Texts, length: int) -> TextHashes:
    """The n-gram hashes of each record, over all its texts."""
    counts = np.cumsum([0, *map(len, records)])
    ngrams = ngram_hashes(word_hashes([text for texts in records for text in texts]), length)
    return TextHashes(ngrams.values, ngrams.offsets[counts])


def write_ngram_index(evaluation: Iterable[Hashes], file: Path) -> None:
    """Write the distinct n-grams of the evaluation texts, sorted, and a bitmap that rules most others out."""
    with file.open("wb") as collected:  # on disk rather than in memory, since many occur again and again
        for values in evaluation:
            values.tofile(collected)
    values = np.fromfile(file, np.uint64)
    values.sort()
    index = values[np.diff(values, prepend=~values[:1]) != 0]
    bitmap = np.zeros(1 << (BITS * len(index)).bit_length(), np.bool_)
    bitmap[_bitmap_slots(index, bitmap)] = True
    np.save(file, index, allow_pickle=False)
    np.save(_bitmap_file(file), bitmap, allow_pickle=False)


def find_overlaps(records: TextHashes, file: Path) -> tuple[Indices, Indices]:
    """The distinct pairs of a training record and an evaluation n-gram in it, as indices: (M,) each."""
    index, bitmap = (
        np.asarray(np.load(each, mmap_mode="r", allow_pickle=False)) for each in (file, _bitmap_file(file))
    )
    candidates = np.flatnonzero(bitmap[_bitmap_slots(records.values, bitmap)])
    # sorted, so that neighbouring hashes are looked up next to each other
    values, first = np.unique(records.values[candidates], return_inverse=True)
    ngrams, present = look_up(index, values)
    owners = records.owners()[candidates[present[first]]]
    pairs = np.unique(owners * len(index) + ngrams[first[present[first]]])
    return pairs // max(1, len(index)), pairs % max(1, len(index))


def _bitmap_slots(values: Hashes, bitmap: NDArray[np.bool_]) -> Indices:
    """The slot of each n-gram in the bitmap: the last bits of its hash."""
    return (values & np.uint64(len(bitmap) - 1)).astype(np.int64)


def _bitmap_file(file: Path) -> Path:
    return file.with_suffix(".marks.npy")


def contaminated_records(
    records: Indices, ngrams: Indices, prompt_numbers: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """For each training record whether it shares an n-gram that is not a common phrase: (N,).

    `records` and `ngrams` are the pairs of `find_overlaps`, (M,) each; `prompt_numbers` is (N,), the
    prompt of each record, since a prompt with several responses counts once.
    """
    size = ngrams.max(initial=0) + 1
    _, prompts = np.unique(prompt_numbers[records], return_inverse=True)
    once_per_prompt = np.unique(prompts * size + ngrams) % size
    common = np.bincount(once_per_prompt, minlength=size) > COMMON
    contaminated = np.zeros(len(prompt_numbers), np.bool_)
    contaminated[records[~common[ngrams]]] = True
    return contaminated
