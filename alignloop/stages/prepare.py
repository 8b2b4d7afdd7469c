"""From raw records to the sets that models learn from: personal data redacted, over-long and repeated texts
out, split by user.

A user is in one split, and so is a prompt's text, whoever wrote it: where users of several splits wrote the
same, test keeps it before valid, and valid before train, so that what measures is never learned. The corpus
has no users: equal documents go together, none is dropped (how often a thing is said is part of a corpus),
and long ones stay, for they are cut to the model's context later. With `near_duplicate_similarity` what is
nearly the same counts as the same, in the corpus too; with `decontamination_ngram` what shares so many words
in a row with a measured record goes. Workers read the records (facts.py), which then wait on disk; what is
known of them meanwhile is in entries.py.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import chain, compress
from pathlib import Path

import numpy as np

from alignloop.data import record_files
from alignloop.data.preparation.decontamination import Overlaps
from alignloop.data.preparation.filtering import Entries, Questions
from alignloop.data.preparation.question_cache import Told
from alignloop.data.preparation.question_cache import write as write_known
from alignloop.data.preparation.record_features import SPLITS, Reading, gather
from alignloop.data.preparation.word_hashes import Places
from alignloop.data.record_files import DataError, pieces
from alignloop.data.workers import Workers
from alignloop.files import replacing, scratch, write_json
from alignloop.params.prepare import Prepare
from alignloop.params.validate import Validate
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
    plan: Prepare,
    bounds: Validate,
    raw: Path,
    prompts: Path,
    demonstrations: Path,
    corpus: Path,
    rankings: Path,
    metrics: Path,
) -> Iterator[Progress]:
    """Write prompts and demonstrations (train, valid, test), the corpus (train, valid) and imported
    rankings; count what was dropped.
    """
    with scratch(prompts.parent / ".prepare.part") as waiting, Workers() as workers:
        sets = _Sets(plan, bounds.max_characters, waiting, workers)
        for name in KINDS:
            sets.take(name, raw / ("documents.jsonl" if name == "corpus" else f"{name}.jsonl"))
            yield Progress(len(sets.entries), len(KINDS) + 2, {f"{name} raw": sets.tallies[name]["raw"]})
        sets.sift()
        yield Progress(len(KINDS) + 1, len(KINDS) + 2)
        for name, out in (("prompts", prompts), ("demonstrations", demonstrations), ("corpus", corpus)):
            sets.write(name, out)
        record_files.write_lines(rankings / "imported.jsonl", sets.lines("rankings", *SPLITS), Ranking)
    sets.tallies["rankings"].update(
        {split: count for split in SPLITS if (count := sum(sets.entries["rankings"].of(split)))}
    )
    tallies = sets.tallies
    write_json(metrics, {name: dict(sorted(tallies[name].items())) for name in KINDS})
    numbers = {f"{name} {split}": tally[split] for name, tally in tallies.items() for split in SPLITS}
    yield Progress(len(KINDS) + 2, len(KINDS) + 2, numbers)


class _Sets:
    """All sets on their way: each record redacted and waiting in a file, what is known of it in `entries`."""

    def __init__(self, plan: Prepare, max_characters: int, waiting: Path, workers: Workers) -> None:
        self._plan, self._max_characters = plan, max_characters
        self._waiting, self._workers = waiting, workers
        self._near, beginning = plan.near_duplicate_similarity, plan.shared_prefix_words
        self._questions, self._documents = Questions(self._near, beginning), Questions(self._near, None)
        self.entries: dict[str, Entries] = {}
        self.tallies = {name: Counter[str]() for name in KINDS}
        self._told: list[Told] = []

    def take(self, name: str, raw: Path) -> None:
        """Read a set, clean each record, and let it wait."""
        plan, kind, corpus, near = self._plan, KINDS[name], name == "corpus", self._near is not None
        questions, beginning = (
            (self._documents, None) if corpus else (self._questions, plan.shared_prefix_words)
        )
        whole, longest = near and name != "prompts", self._max_characters
        known = None if corpus or not self._told else self._waiting / f"known before {name}"
        if known:
            write_known(self._told, known)
        reading = Reading(
            kind,
            plan.detect_language,
            longest,
            plan.valid_share,
            plan.test_share,
            near,
            beginning,
            whole,
            known,
        )
        entries = Entries(self._near if whole else None)
        with (self._waiting / name).open("w", encoding="utf-8", newline="\n") as file:
            for found in self._workers.map(
                partial(gather, reading), pieces(raw, kind, allow_empty=name == "rankings")
            ):
                entries.add(found, questions.add(found))
                if not corpus:
                    self._told.append(Told(np.array(found.questions, np.uint64), *found.spoken))
                self.tallies[name].update(found.tally)
                file.writelines(found.lines)
        self.tallies[name]["raw"] = len(entries)
        self.entries[name] = entries

    def sift(self) -> None:
        """Decide what stays."""
        for name, entries in self.entries.items():
            if name == "corpus":
                dropped = entries.sift(self._documents, None)
            else:
                dropped = entries.sift(self._questions, self._plan.prompts_per_user)
            self.tallies[name].update(dropped)
        if self._plan.decontamination_ngram:
            self._drop_overlaps(self._plan.decontamination_ngram)

    def _drop_overlaps(self, length: int) -> None:
        """Of what is learned, drop what shares so many words in a row with what is measured."""
        overlaps = Overlaps(length, self._waiting / "measured.npy", self._workers)
        overlaps.measure(chain.from_iterable(self.lines(name, split) for name, split in MEASURED.items()))
        staying: dict[str, Places] = {}
        for name, entries in self.entries.items():
            learned: list[Split] = [split for split in SPLITS if split != MEASURED[name]]
            places = staying[name] = np.flatnonzero(np.fromiter(entries.of(*learned), np.bool_, len(entries)))
            overlaps.learn(
                self.lines(name, *learned),
                -places if name == "corpus" else np.array(entries.asked, np.int64)[places],
            )
        found = overlaps.found()
        for name, places in staying.items():
            gone, found = places[found[: len(places)]], found[len(places) :]
            for place in gone.tolist():
                self.entries[name].kept[place] = False
            self.tallies[name]["overlaps what is measured"] = len(gone)

    def lines(self, name: str, *splits: Split) -> Iterator[str]:
        """The lines of the records of a set that stay and are in these splits, in their order."""
        with (self._waiting / name).open(encoding="utf-8", newline="\n") as file:
            yield from compress(file, self.entries[name].of(*splits))

    def write(self, name: str, out: Path) -> None:
        """Write a set, a file for each split."""
        tally = self.tallies[name]
        with replacing(out) as part:
            for split in SPLITS[:2] if name == "corpus" else SPLITS:
                tally[split] = record_files.write_lines(
                    part / f"{split}.jsonl", self.lines(name, split), KINDS[name]
                )
                if not tally[split] and split in NEEDED[name]:
                    advice = "add data of more users, or change prepare.valid_share and prepare.test_share"
                    raise DataError(
                        f"{out / split}.jsonl: of {tally['raw'] or 'all'} {name} none is left for this "
                        f"split; {advice}"
                    )
