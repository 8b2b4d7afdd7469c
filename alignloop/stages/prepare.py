"""From raw records to the sets that models learn from: personal data redacted, over-long and repeated texts out, split by user.

A user is in one split, and so is a prompt's text, whoever wrote it: where users of several splits wrote the same, test keeps it
before valid, and valid before train, so that what measures is never learned. The corpus has no users: equal documents go together,
none is dropped (how often a thing is said is part of a corpus), and long ones stay, for they are cut to the model's context later.
With `near_duplicates` what is nearly the same counts as the same, in the corpus too; with `contamination` what shares so many words in a
row with a measured record goes. Workers read the records (record_features.py), which then wait on disk;
what is known of them meanwhile is in filtering.py.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import chain, compress
from pathlib import Path

import numpy as np

from alignloop.data import record_files
from alignloop.data.input_files import DataError
from alignloop.data.preparation.decontamination import Decontaminator
from alignloop.data.preparation.filtering import PromptIndex, RecordFilter
from alignloop.data.preparation.prompt_cache import CacheEntries
from alignloop.data.preparation.prompt_cache import write as write_known
from alignloop.data.preparation.record_features import SPLITS, FeatureOptions, extract_features
from alignloop.data.preparation.word_hashes import Indices
from alignloop.data.record_files import pieces
from alignloop.data.workers import Workers
from alignloop.files import replacing, scratch, write_json
from alignloop.params import Params
from alignloop.progress import Progress
from alignloop.records import Demonstration, Document, Prompt, Ranking, Record, Split

KINDS: dict[str, type[Record]] = {
    "prompts": Prompt,
    "demonstrations": Demonstration,
    "rankings": Ranking,
    "corpus": Document,
}
MEASURED: dict[str, Split] = {
    "prompts": "test",
    "demonstrations": "test",
    "rankings": "test",
    "corpus": "valid",
}
NEEDED = {"prompts": {"train", "test"}, "demonstrations": {"train"}, "corpus": {"train", "valid"}}


def prepare(
    params: Params,
    raw: Path,
    prompts: Path,
    demonstrations: Path,
    corpus: Path,
    rankings: Path,
    metrics: Path,
) -> Iterator[Progress]:
    """Write prompts and demonstrations (train, valid, test), the corpus (train, valid) and imported rankings; count what was dropped."""
    with scratch(prompts.parent / ".prepare.part") as waiting, Workers() as workers:
        sets = _Sets(params, waiting, workers)
        for name in KINDS:
            sets.take(name, raw / ("documents.jsonl" if name == "corpus" else f"{name}.jsonl"))
            yield Progress(len(sets.entries), len(KINDS) + 2, {f"{name} raw": sets.tallies[name]["raw"]})
        sets.sift()
        yield Progress(len(KINDS) + 1, len(KINDS) + 2)
        for name, out in (("prompts", prompts), ("demonstrations", demonstrations), ("corpus", corpus)):
            sets.write(name, out)
        record_files.write_lines(rankings / "imported.jsonl", sets.lines("rankings", *SPLITS), Ranking)
    sets.tallies["rankings"].update(
        {split: count for split in SPLITS if (count := sum(sets.entries["rankings"].in_splits(split)))}
    )
    tallies = sets.tallies
    write_json(metrics, {name: dict(sorted(tallies[name].items())) for name in KINDS})
    numbers = {f"{name} {split}": tally[split] for name, tally in tallies.items() for split in SPLITS}
    yield Progress(len(KINDS) + 2, len(KINDS) + 2, numbers)


class _Sets:
    """All sets on their way: each record redacted and waiting in a file, what is known of it in `entries`."""

    def __init__(self, params: Params, waiting: Path, workers: Workers) -> None:
        self._params, self._waiting, self._workers = params, waiting, workers
        self._near, beginning = params.prepare.near_duplicates, params.prepare.common_beginning
        self._questions, self._documents = PromptIndex(self._near, beginning), PromptIndex(self._near, None)
        self.entries: dict[str, RecordFilter] = {}
        self.tallies = {name: Counter[str]() for name in KINDS}
        self._told: list[CacheEntries] = []

    def take(self, name: str, raw: Path) -> None:
        """Read a set, clean each record, and let it wait."""
        plan, kind, corpus, near = self._params.prepare, KINDS[name], name == "corpus", self._near is not None
        questions, beginning = (self._documents, None) if corpus else (self._questions, plan.common_beginning)
        whole, longest = near and name != "prompts", self._params.validate_.max_characters
        known = None if corpus or not self._told else self._waiting / f"known before {name}"
        if known:
            write_known(self._told, known)
        reading = FeatureOptions(
            kind, plan.languages, longest, plan.valid, plan.test, near, beginning, whole, known
        )
        entries = RecordFilter(self._near if whole else None)
        with (self._waiting / name).open("w", encoding="utf-8", newline="\n") as file:
            for found in self._workers.map(
                partial(extract_features, reading), pieces(raw, kind, allow_empty=name == "rankings")
            ):
                entries.add(found, questions.add(found))
                if not corpus:
                    self._told.append(CacheEntries(np.array(found.prompts, np.uint64), *found.text_languages))
                self.tallies[name].update(found.tally)
                file.writelines(found.lines)
        self.tallies[name]["raw"] = len(entries)
        self.entries[name] = entries

    def sift(self) -> None:
        """Decide what stays."""
        for name, entries in self.entries.items():
            if name == "corpus":
                dropped = entries.apply(self._documents, None)
            else:
                dropped = entries.apply(self._questions, self._params.prepare.prompts_per_user)
            self.tallies[name].update(dropped)
        if self._params.prepare.contamination:
            self._drop_overlaps(self._params.prepare.contamination)

    def _drop_overlaps(self, length: int) -> None:
        """Of what is learned, drop what shares so many words in a row with what is measured."""
        overlaps = Decontaminator(length, self._waiting / "measured.npy", self._workers)
        overlaps.index_evaluation_records(
            chain.from_iterable(self.lines(name, split) for name, split in MEASURED.items())
        )
        staying: dict[str, Indices] = {}
        for name, entries in self.entries.items():
            learned: list[Split] = [split for split in SPLITS if split != MEASURED[name]]
            places = staying[name] = np.flatnonzero(
                np.fromiter(entries.in_splits(*learned), np.bool_, len(entries))
            )
            overlaps.check_training_records(
                self.lines(name, *learned),
                -places if name == "corpus" else np.array(entries.prompt_numbers, np.int64)[places],
            )
        found = overlaps.contaminated()
        for name, places in staying.items():
            gone, found = places[found[: len(places)]], found[len(places) :]
            for place in gone.tolist():
                self.entries[name].is_kept[place] = False
            self.tallies[name]["overlaps what is measured"] = len(gone)

    def lines(self, name: str, *splits: Split) -> Iterator[str]:
        """The lines of the records of a set that stay and are in these splits, in their order."""
        with (self._waiting / name).open(encoding="utf-8", newline="\n") as file:
            yield from compress(file, self.entries[name].in_splits(*splits))

    def write(self, name: str, out: Path) -> None:
        """Write a set, a file for each split."""
        tally = self.tallies[name]
        with replacing(out) as part:
            for split in SPLITS[:2] if name == "corpus" else SPLITS:
                tally[split] = record_files.write_lines(
                    part / f"{split}.jsonl", self.lines(name, split), KINDS[name]
                )
                if not tally[split] and split in NEEDED[name]:
                    advice = "add data of more users, or change prepare.valid and prepare.test"
                    raise DataError(
                        f"{out / split}.jsonl: of {tally['raw'] or 'all'} {name} none is left for this split; {advice}"
                    )
