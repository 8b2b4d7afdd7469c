"""From raw records to the sets that models learn from: personal data redacted, over-long and repeated texts out, split by user.

A user is in one split, and so is a prompt's text, whoever wrote it: where users of several splits wrote the same, test keeps it
before valid, and valid before train, so that what measures is never learned. The corpus has no users: equal documents go together,
none is dropped (how often a thing is said is part of a corpus), and long ones stay, for they are cut to the model's context later.
With `near_duplicates` what is nearly the same counts as the same, in the corpus too; with `contamination` what shares so many words in a
row with a measured record goes. Records pass through one by one and wait on disk; what is known of them meanwhile is in entries.py.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import compress
from pathlib import Path

from alignloop.io import datasets
from alignloop.io.contamination import Measured
from alignloop.io.datasets import DataError, split_of, stream
from alignloop.io.files import replacing, scratch, write_json
from alignloop.io.identity import wording
from alignloop.params import Params
from alignloop.records import Demonstration, Document, Message, Prompt, Ranking, Record, Split
from alignloop.stages.cleaning import Cleaner
from alignloop.stages.entries import SPLITS, Entries, Questions
from alignloop.stages.progress import Progress

KINDS: dict[str, type[Record]] = {"prompts": Prompt, "demonstrations": Demonstration, "rankings": Ranking, "corpus": Document}
MEASURED: dict[str, Split] = {"prompts": "test", "demonstrations": "test", "rankings": "test", "corpus": "valid"}
NEEDED = {"prompts": {"train", "test"}, "demonstrations": {"train"}, "corpus": {"train", "valid"}}


def prepare(
    params: Params, raw: Path, prompts: Path, demonstrations: Path, corpus: Path, rankings: Path, metrics: Path
) -> Iterator[Progress]:
    """Write prompts and demonstrations (train, valid, test), the corpus (train, valid) and imported rankings; count what was dropped."""
    with scratch(prompts.parent / ".prepare.part") as waiting:
        sets = _Sets(params, waiting)
        for name in KINDS:
            sets.take(name, raw / ("documents.jsonl" if name == "corpus" else f"{name}.jsonl"))
            yield Progress(len(sets.entries), len(KINDS) + 2, {f"{name} raw": sets.tallies[name]["raw"]})
        sets.sift()
        yield Progress(len(KINDS) + 1, len(KINDS) + 2)
        for name, out in (("prompts", prompts), ("demonstrations", demonstrations), ("corpus", corpus)):
            sets.write(name, out)
        datasets.write(rankings / "imported.jsonl", sets.records("rankings", *SPLITS))
    sets.tallies["rankings"].update({split: count for split in SPLITS if (count := sum(sets.entries["rankings"].of(split)))})
    tallies = sets.tallies
    write_json(metrics, {name: dict(sorted(tallies[name].items())) for name in KINDS})
    numbers = {f"{name} {split}": tally[split] for name, tally in tallies.items() for split in SPLITS}
    yield Progress(len(KINDS) + 2, len(KINDS) + 2, numbers)


class _Sets:
    """All sets on their way: each record redacted and waiting in a file, what is known of it in `entries`."""

    def __init__(self, params: Params, waiting: Path) -> None:
        self._plan, self._longest, self._waiting = params.prepare, params.validate_.max_characters, waiting
        near, beginning = self._plan.near_duplicates, self._plan.common_beginning
        self._questions, self._documents = Questions(near, beginning), Questions(near, None)
        self._near = {"prompts": None, "demonstrations": near, "rankings": near, "corpus": None}
        self.entries: dict[str, Entries] = {}
        self.tallies = {name: Counter[str]() for name in KINDS}

    def take(self, name: str, raw: Path) -> None:
        """Read a set, clean each record, and let it wait."""
        tally, entries = self.tallies[name], Entries(self._near[name])
        cleaner = Cleaner(tally, self._plan.languages)
        with (self._waiting / name).open("w", encoding="utf-8", newline="\n") as file:
            for record in stream(raw, KINDS[name], allow_empty=name == "rankings"):
                clean = cleaner.clean(record)
                split = self._enter(clean, entries)
                file.write(datasets.line_of(clean.model_copy(update={"split": split}) if isinstance(clean, Ranking) else clean))
        tally["raw"] = len(entries)
        self.entries[name] = entries

    def _enter(self, record: Record, entries: Entries) -> Split:
        """Note what is known of a record, and return its split."""
        if isinstance(record, Document):
            said = record.text if record.text is not None else _wording(record.messages or ())
            split = split_of(said, self._plan.valid, 0.0)
            entries.add(said, SPLITS.index(split), self._documents.add(said, "", SPLITS.index(split)))
            return split
        user, asked, answers, judged = _parts(record)
        split = split_of(user, self._plan.valid, self._plan.test)
        question = self._questions.add(_wording(asked[-1:]), _wording(asked[:-1]), SPLITS.index(split))
        long = sum(len(message.content) for message in asked) + max(map(len, answers), default=0) > self._longest
        said = "\n".join([_wording(asked), *answers])
        entries.add(user, SPLITS.index(split), question, said, long, answers, judged)
        return split

    def sift(self) -> None:
        """Decide what stays."""
        for name, entries in self.entries.items():
            if name == "corpus":
                dropped = entries.sift(self._documents, None)
            else:
                dropped = entries.sift(self._questions, self._plan.prompts_per_user)
            self.tallies[name].update(dropped)
        if self._plan.contamination:
            self._drop_overlaps(self._plan.contamination)

    def _drop_overlaps(self, length: int) -> None:
        """Of what is learned, drop what shares so many words in a row with what is measured."""
        measured = Measured(length)
        for name, split in MEASURED.items():
            for record in self.records(name, split):
                measured.measure(_asked_texts(record))
        places: list[tuple[str, int]] = []
        for name, entries in self.entries.items():
            learned: list[Split] = [split for split in SPLITS if split != MEASURED[name]]
            staying = [place for place, stays in enumerate(entries.of(*learned)) if stays]
            for place, record in zip(staying, self.records(name, *learned), strict=True):
                measured.learn(_texts(record), -place if name == "corpus" else entries.asked[place])
                places.append((name, place))
            self.tallies[name]["overlaps what is measured"] = 0
        for name, place in compress(places, measured.overlapping()):
            self.entries[name].kept[place] = False
            self.tallies[name]["overlaps what is measured"] += 1

    def records(self, name: str, *splits: Split) -> Iterator[Record]:
        """The records of a set that stay and are in these splits, in their order."""
        with (self._waiting / name).open(encoding="utf-8", newline="\n") as file:
            for line in compress(file, self.entries[name].of(*splits)):
                yield KINDS[name].model_validate_json(line)

    def write(self, name: str, out: Path) -> None:
        """Write a set, a file for each split."""
        tally = self.tallies[name]
        with replacing(out) as part:
            for split in SPLITS[:2] if name == "corpus" else SPLITS:
                tally[split] = datasets.write(part / f"{split}.jsonl", self.records(name, split))
                if not tally[split] and split in NEEDED[name]:
                    advice = "add data of more users, or change prepare.valid and prepare.test"
                    raise DataError(f"{out / split}.jsonl: of {tally['raw'] or 'all'} {name} none is left for this split; {advice}")


def _parts(record: Record) -> tuple[str, tuple[Message, ...], tuple[str, ...], object]:
    """Who asked, what, the answers to it, and what was judged of them."""
    if isinstance(record, Ranking):
        return record.prompt.user, record.prompt.messages, record.responses, (record.labeler, record.ranks)
    if isinstance(record, Demonstration):
        return record.user, record.messages[:-1], (record.messages[-1].content,), None
    assert isinstance(record, Prompt)
    return record.user, record.messages, (), None


def _wording(messages: Sequence[Message]) -> str:
    return wording((message.role, message.content) for message in messages)


def _texts(record: Record) -> list[str]:
    """All that a record says."""
    if isinstance(record, Document):
        return [record.text] if record.text is not None else [message.content for message in record.messages or ()]
    _, asked, answers, _ = _parts(record)
    return [*(message.content for message in asked), *answers]


def _asked_texts(record: Record) -> list[str]:
    """What a measured record says that is not to be learned: a person's turns, a document."""
    return _texts(record) if isinstance(record, Document) else [turn.content for turn in _parts(record)[1] if turn.role == "user"]
