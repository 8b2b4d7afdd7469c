"""What `prepare` needs to know of a piece of a set: its records cleaned, as lines, and what they say as numbers; workers make it."""

from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alignloop.data import record_files
from alignloop.data.content_ids import number_of, wording
from alignloop.data.preparation import question_cache
from alignloop.data.preparation.cleaning import NOTHING, Cleaner
from alignloop.data.preparation.near_duplicates import Sketches, sketches
from alignloop.data.preparation.word_hashes import Places
from alignloop.data.record_files import Piece, split_of
from alignloop.records import Demonstration, Document, Message, Prompt, Ranking, Record, Split

SPLITS: tuple[Split, ...] = ("train", "valid", "test")  # the later, the cleaner it must be


class Reading(NamedTuple):
    """How a set is read: `near` and `beginning` say how questions are compared, `whole` whether records are as well, with their answers.

    In `known` lies what the sets before have told of questions.
    """

    kind: type[Record]
    languages: bool
    longest: int
    valid: float
    test: float
    near: bool
    beginning: int | None
    whole: bool
    known: Path | None = None


class Facts:
    """Of each record the line, the split, and 64 bits each that stand for its user, its question, all that it says, and a judgement."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.splits, self.long = bytearray(), bytearray()
        self.users, self.questions, self.content, self.judged = (array("Q") for _ in range(4))
        self.tally = Counter[str]()
        self.spoken = NOTHING
        self.asked: Sketches | None = None  # of the questions at these places: the others are known
        self.places: Places = np.zeros(0, np.int64)
        self.wholes: Sketches | None = None


class _Said(NamedTuple):
    """A record in words: the question's last turn, what was said before it, and all of it with the answers."""

    last: str
    before: str
    whole: str


def gather(reading: Reading, piece: Piece) -> Facts:
    """Read a piece, clean its records, and say what is to be known of them."""
    made = Facts()
    before = question_cache.read(reading.known) if reading.known else None
    cleaner = Cleaner(made.tally, reading.languages, before)
    said = [
        _add(made, reading, record)
        for record in cleaner.clean([record for _, record in record_files.records(piece, reading.kind)])
    ]
    made.spoken = cleaner.spoken
    if reading.near or reading.beginning:
        made.places = before.unknown(made.questions) if before else np.arange(len(said))
        fresh = [said[place] for place in made.places.tolist()]
        asked = [each.last for each in fresh], [each.before for each in fresh]
        made.asked = sketches(*asked, near=reading.near, beginning=reading.beginning)
    if reading.whole:
        made.wholes = sketches([each.whole for each in said])
    return made


def _add(made: Facts, reading: Reading, record: Record) -> _Said:
    if isinstance(record, Document):
        user, answers, judged, long = "", (), None, False
        text = record.text if record.text is not None else _wording(record.messages or ())
        split, said = split_of(text, reading.valid, 0.0), _Said(text, "", text)
    else:
        user, asked, answers, judged = _parts(record)
        split, before, last = (
            split_of(user, reading.valid, reading.test),
            _wording(asked[:-1]),
            _wording(asked[-1:]),
        )
        whole = "\n".join([*([before] if before else []), last, *answers]) if reading.whole else ""
        said = _Said(last, before, whole)
        long = (
            sum(len(message.content) for message in asked) + max(map(len, answers), default=0)
            > reading.longest
        )
    question = number_of(said.before, said.last)
    made.lines.append(
        record_files.line_of(
            record.model_copy(update={"split": split}) if isinstance(record, Ranking) else record
        )
    )
    made.splits.append(SPLITS.index(split))
    made.long.append(long)
    made.users.append(number_of(user))
    made.questions.append(question)
    made.judged.append(number_of(judged))
    made.content.append(number_of(question, *answers, judged))
    return said


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
