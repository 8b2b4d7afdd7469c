"""From raw records to the sets that models learn from: redacted, de-duplicated and split by user.

A user is in one split, and so is a prompt's text, by any user: where users of several splits wrote the same
prompt, test keeps it before valid, and valid before train, so that evaluation data is never trained on. The
corpus has no users: equal documents share a split and none is dropped (how often a statement occurs is part
of a corpus), and long ones stay, because they are cut to the model's context later. With
`near_duplicate_similarity` near-duplicates count as equal, in the corpus too; with `decontamination_ngram`
training records that share an n-gram of words with an evaluation record are dropped. Workers compute features
of the records (record_features.py), which wait on disk; filtering.py decides from the features which records
are kept.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, compress
from pathlib import Path

import numpy as np

from alignloop.data import record_files
from alignloop.data.input_files import DataError
from alignloop.data.preparation.decontamination import Decontaminator
from alignloop.data.preparation.filtering import PromptIndex, RecordFilter
from alignloop.data.preparation.prompt_cache import CacheEntries
from alignloop.data.preparation.prompt_cache import write as write_cache
from alignloop.data.preparation.record_features import SPLITS, FeatureOptions, extract_features
from alignloop.data.preparation.word_hashes import Indices
from alignloop.data.record_files import pieces
from alignloop.data.workers import Workers
from alignloop.evaluation.data_size import size_note
from alignloop.files import replacing, scratch, write_json
from alignloop.params.prepare import Prepare
from alignloop.params.validate import Validate
from alignloop.progress import Progress
from alignloop.records import LABELS, BinaryLabel, Demonstration, Document, Prompt, Ranking, Record, Split

KINDS: dict[str, type[Record]] = {
    "prompts": Prompt,
    "demonstrations": Demonstration,
    "rankings": Ranking,
    "labels": BinaryLabel,
    "corpus": Document,
}
EVALUATION: dict[str, Split] = {  # the split that nothing in training may overlap with
    "prompts": "test",
    "demonstrations": "test",
    "rankings": "test",
    "labels": "test",
    "corpus": "valid",
}
LONG = 0.1  # share of a set that may be too long without a word of it
OPTIONAL = {"rankings", "labels", "corpus"}  # sets that may be empty, in every split
NEEDED = {"prompts": {"train", "test"}, "demonstrations": {"train"}, "corpus": {"train", "valid"}}


def prepare(
    plan: Prepare,
    bounds: Validate,
    raw: Path,
    prompts: Path,
    demonstrations: Path,
    corpus: Path,
    rankings: Path,
    metrics: Path,
) -> Iterator[Progress]:
    """Write prompts, demonstrations, corpus and imported rankings by split; count what was dropped."""
    files = {name: raw / ("documents.jsonl" if name == "corpus" else f"{name}.jsonl") for name in KINDS}
    if not files["labels"].exists():
        del files["labels"]
    with scratch(prompts.parent / ".prepare.part") as waiting, Workers() as workers:
        sets = _Sets(plan, bounds.max_characters, waiting, workers)
        for name, file in files.items():
            sets.read(name, file)
            yield Progress(len(sets.filters), len(files) + 2, {f"{name} raw": sets.tallies[name]["raw"]})
        sets.filter()
        yield Progress(len(files) + 1, len(files) + 2)
        outs = {"prompts": prompts, "demonstrations": demonstrations, "corpus": corpus}
        if faults := [fault for name, out in outs.items() for fault in sets.missing_splits(name, out)]:
            raise DataError("\n".join(faults))
        for name, out in outs.items():
            sets.write(name, out)
        record_files.write_lines(rankings / "imported.jsonl", sets.lines("rankings", *SPLITS), Ranking)
        _write_labels(sets, rankings / LABELS)
    tallies = {name: sets.tallies[name] for name in files}
    for name in tallies.keys() & {"rankings", "labels"}:
        for split in SPLITS:
            if count := sum(sets.filters[name].in_splits(split)):
                tallies[name][split] = count
    write_json(metrics, {name: dict(sorted(tally.items())) for name, tally in tallies.items()})
    numbers = {f"{name} {split}": tally[split] for name, tally in tallies.items() for split in SPLITS}
    sizes = {"demonstrations": tallies["demonstrations"]["train"], "test_prompts": tallies["prompts"]["test"]}
    notes = (size_note(sizes), _long_note(tallies, bounds.max_characters))
    yield Progress(len(files) + 2, len(files) + 2, numbers, "; ".join(note for note in notes if note))


def _write_labels(sets: "_Sets", out: Path) -> None:
    """Write the labels into a folder of their own, which is only there where there are some."""
    shutil.rmtree(out, ignore_errors=True)
    if "labels" in sets.filters and any(sets.filters["labels"].in_splits(*SPLITS)):
        record_files.write_lines(out / "imported.jsonl", sets.lines("labels", *SPLITS), BinaryLabel)


def _long_note(tallies: Mapping[str, Counter[str]], bound: int) -> str:
    """Says where many records were dropped for their length, which a longer context would hold."""
    named = [
        f"{tally['too long']:,} of {tally['raw']:,} {name}"
        for name, tally in tallies.items()
        if tally["too long"] > LONG * tally["raw"]
    ]
    if not named:
        return ""
    return (
        f"left out as longer than validate.max_characters ({bound:,}): {', '.join(named)}; raise it if the "
        "base model's context holds more"
    )


class _Sets:
    """All sets during preparation: redacted records wait in files, their features are in `filters`."""

    def __init__(self, plan: Prepare, max_characters: int, waiting: Path, workers: Workers) -> None:
        self._plan, self._max_characters = plan, max_characters
        self._waiting, self._workers = waiting, workers
        self._near = plan.near_duplicate_similarity
        self._prompts = PromptIndex(self._near, plan.shared_prefix_words)
        self._documents = PromptIndex(self._near, None)
        self.filters: dict[str, RecordFilter] = {}
        self.tallies = {name: Counter[str]() for name in KINDS}
        self._cached: list[CacheEntries] = []

    def read(self, name: str, raw: Path) -> None:
        """Read a set, clean each record, and write it to a file where it waits."""
        is_corpus, kind = name == "corpus", KINDS[name]
        index = self._documents if is_corpus else self._prompts
        whole = self._near is not None and name != "prompts"
        extract = partial(extract_features, self._options(name, whole))
        kept = RecordFilter(self._near if whole else None)
        with (self._waiting / name).open("w", encoding="utf-8", newline="\n") as file:
            for part in self._workers.map(extract, pieces(raw, kind, allow_empty=name in OPTIONAL)):
                kept.add(part, index.add(part))
                if not is_corpus:
                    hashes = np.array(part.prompts, np.uint64)
                    self._cached.append(CacheEntries(hashes, *part.text_languages))
                self.tallies[name].update(part.tally)
                file.writelines(part.lines)
        self.tallies[name]["raw"] = len(kept)
        self.filters[name] = kept

    def _options(self, name: str, whole: bool) -> FeatureOptions:
        cache = None
        if name != "corpus" and self._cached:
            cache = self._waiting / f"known before {name}"
            write_cache(self._cached, cache)
        return FeatureOptions(
            kind=KINDS[name],
            languages=self._plan.detect_language,
            max_characters=self._max_characters,
            valid=self._plan.valid_share,
            test=self._plan.test_share,
            near=self._near is not None,
            beginning=None if name == "corpus" else self._plan.shared_prefix_words,
            whole=whole,
            cache=cache,
        )

    def filter(self) -> None:
        """Decide which records are kept."""
        for name, records in self.filters.items():
            if name == "corpus":
                dropped = records.apply(self._documents, None)
            else:
                dropped = records.apply(self._prompts, self._plan.prompts_per_user)
            self.tallies[name].update(dropped)
        if self._plan.decontamination_ngram:
            self._decontaminate(self._plan.decontamination_ngram)

    def _decontaminate(self, length: int) -> None:
        """Drop training records that share an n-gram of this length with an evaluation record."""
        overlaps = Decontaminator(length, self._waiting / "measured.npy", self._workers)
        evaluated = (self.lines(name, EVALUATION[name]) for name in self.filters)
        overlaps.index_evaluation_records(chain.from_iterable(evaluated))
        kept: dict[str, Indices] = {}
        for name, records in self.filters.items():
            training: list[Split] = [split for split in SPLITS if split != EVALUATION[name]]
            chosen = np.fromiter(records.in_splits(*training), np.bool_, len(records))
            places = kept[name] = np.flatnonzero(chosen)
            numbers = -places if name == "corpus" else np.array(records.prompt_numbers, np.int64)[places]
            overlaps.check_training_records(self.lines(name, *training), numbers)
        contaminated = overlaps.contaminated()
        for name, places in kept.items():
            own, contaminated = contaminated[: len(places)], contaminated[len(places) :]
            dropped = places[own]
            for place in dropped.tolist():
                self.filters[name].is_kept[place] = False
            self.tallies[name]["overlaps with evaluation data"] = len(dropped)

    def lines(self, name: str, *splits: Split) -> Iterator[str]:
        """The lines of a set's records that are kept and in these splits, in their order."""
        with (self._waiting / name).open(encoding="utf-8", newline="\n") as file:
            yield from compress(file, self.filters[name].in_splits(*splits))

    def missing_splits(self, name: str, out: Path) -> Iterator[str]:
        """Each split of a set that stages need and that would be empty, with the remedy."""
        raw, records = self.tallies[name]["raw"], self.filters[name]
        if not raw and name in OPTIONAL:
            return
        for split in SPLITS:
            if split in NEEDED[name] and not any(records.in_splits(split)):
                yield (
                    f"{out / split}.jsonl: of {raw} {name} none is left for this split; add data of more "
                    "users, or change prepare.valid_share and prepare.test_share"
                )

    def write(self, name: str, out: Path) -> None:
        """Write a set, one file per split."""
        tally = self.tallies[name]
        with replacing(out) as part:
            for split in SPLITS[:2] if name == "corpus" else SPLITS:
                lines = self.lines(name, split)
                tally[split] = record_files.write_lines(part / f"{split}.jsonl", lines, KINDS[name])
