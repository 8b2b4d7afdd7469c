"""Cache of prompt hashes and text languages from the sets that `prepare` has read before, in the same run.

Prompts recur in demonstrations and rankings; with the cache, workers neither sketch them again nor detect
their language again. It lies in memory-mapped files, sorted by hash, so that all workers share its
memory.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alignloop.data.preparation.word_hashes import Hashes, Indices, look_up

LanguageCodes = NDArray[np.bytes_]  # ISO 639-1, und or zxx


class CacheEntries(NamedTuple):
    """The entries of one piece of a set: hashes of its prompts, and of its texts with their languages."""

    prompts: Hashes
    texts: Hashes
    languages: LanguageCodes


class PromptCache(NamedTuple):
    """All cache entries, each hash once and sorted."""

    prompts: Hashes
    texts: Hashes
    languages: LanguageCodes

    def unknown(self, prompts: Sequence[int]) -> Indices:
        """The indices of the prompts that no set before has contained."""
        return np.flatnonzero(~look_up(self.prompts, np.asarray(prompts, np.uint64))[1])

    def languages_of(self, texts: Sequence[int]) -> list[str]:
        """The language of each text, by its hash; empty where no set before has contained the text."""
        indices, present = look_up(self.texts, np.asarray(texts, np.uint64))
        languages = np.zeros(len(present), "S3")
        languages[present] = self.languages[indices[present]]
        return languages.astype(str).tolist()


def write(entries: Iterable[CacheEntries], folder: Path) -> None:
    """Write the entries of all pieces into a new folder."""
    prompts, texts, languages = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    texts, first = np.unique(texts, return_index=True)
    folder.mkdir()
    for name, values in PromptCache(np.unique(prompts), texts, languages[first])._asdict().items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)


@lru_cache(1)
def read(folder: Path) -> PromptCache:
    """Open the cache in a folder."""
    return PromptCache(
        *(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in PromptCache._fields)
    )
