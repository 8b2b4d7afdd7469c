"""Computes the features of records by which `prepare` splits, filters and compares them, in workers."""

from array import array
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alignloop.data import record_files
from alignloop.data.content_ids import hash64, normalised_text
from alignloop.data.preparation import prompt_cache
from alignloop.data.preparation.cleaning import NO_LANGUAGES, Cleaner
from alignloop.data.preparation.near_duplicates import Sketches, sketch_texts
from alignloop.data.preparation.word_hashes import Indices
from alignloop.data.record_files import Piece
from alignloop.records import (
    BinaryLabel,
    Demonstration,
    Document,
    Message,
    Prompt,
    Ranking,
    Record,
    Split,
)

SPLITS: tuple[Split, ...] = ("train", "valid", "test")  # from the least to the most strictly held out


class FeatureOptions(NamedTuple):
    """Which features of a set's records to compute, and how."""

    kind: type[Record]
    languages: bool  # whether to tag records with their language
    max_characters: int
    valid: float  # share of the users
    test: float
    near: bool  # whether to compute signatures of the prompts for near-duplicates
    beginning: int | None  # words of a shared prefix
    whole: bool  # whether to compute signatures of whole records, prompt and responses, as well
    cache: Path | None = None  # the prompt cache, from the sets before


class RecordFeatures:
    """The features of a piece's records; users, prompts, contents and judgements are 64-bit hashes."""

    def __init__(self) -> None:
        self.lines: list[str] = []  # the cleaned records as they will be written
        self.splits, self.too_long = bytearray(), bytearray()
        self.users = array("Q")
        self.prompts = array("Q")
        self.contents = array("Q")
        self.judgements = array("Q")
        self.tally = Counter[str]()
        self.text_languages = NO_LANGUAGES
        self.prompt_sketches: Sketches | None = None
        # records whose prompts are sketched: the rest is cached
        self.sketched: Indices = np.zeros(0, np.int64)
        self.record_sketches: Sketches | None = None


class _Texts(NamedTuple):
    """A record as text: the prompt's last turn, the turns before it, and all with the responses."""

    last: str
    before: str
    whole: str


def extract_features(options: FeatureOptions, piece: Piece) -> RecordFeatures:
    """Read a piece, clean its records and compute their features."""
    features = RecordFeatures()
    cache = prompt_cache.read(options.cache) if options.cache else None
    cleaner = Cleaner(features.tally, options.languages, cache)
    records = cleaner.clean([record for _, record in record_files.records(piece, options.kind)])
    texts = [_add(features, options, record) for record in records]
    features.text_languages = cleaner.text_languages
    if options.near or options.beginning:
        features.sketched = cache.unknown(features.prompts) if cache else np.arange(len(texts))
        new = [texts[index] for index in features.sketched.tolist()]
        features.prompt_sketches = sketch_texts(
            [text.last for text in new],
            [text.before for text in new],
            near=options.near,
            beginning=options.beginning,
        )
    if options.whole:
        features.record_sketches = sketch_texts([text.whole for text in texts])
    return features


def split_of(user: str, valid: float, test: float) -> Split:
    """The split of a user's records: by a hash of the id alone, so that it never changes as data grows."""
    share = int.from_bytes(blake2b(user.encode(), digest_size=7).digest(), "big") / 2**56
    if share < test:
        return "test"
    return "valid" if share < test + valid else "train"


def _add(features: RecordFeatures, options: FeatureOptions, record: Record) -> _Texts:
    """Append the features of one record, and return its texts."""
    responses: tuple[str, ...] = ()
    judgement: object = None
    if isinstance(record, Document):
        user, too_long = "", False
        text = record.text if record.text is not None else _text(record.messages or ())
        split = split_of(text, options.valid, 0.0)
        texts = _Texts(text, "", text)
    else:
        user, messages, responses, judgement = _parts(record)
        split = split_of(user, options.valid, options.test)
        before, last = _text(messages[:-1]), _text(messages[-1:])
        parts = [before, last, *responses] if before else [last, *responses]
        whole = "\n".join(parts) if options.whole else ""
        texts = _Texts(last, before, whole)
        length = sum(len(message.content) for message in messages) + max(map(len, responses), default=0)
        too_long = length > options.max_characters
    if isinstance(record, Ranking | BinaryLabel):
        record = record.model_copy(update={"split": split})
    prompt = hash64(texts.before, texts.last)
    features.lines.append(record_files.line_of(record))
    features.splits.append(SPLITS.index(split))
    features.too_long.append(too_long)
    features.users.append(hash64(user))
    features.prompts.append(prompt)
    features.judgements.append(hash64(judgement))
    features.contents.append(hash64(prompt, *responses, judgement))
    return texts


def _parts(record: Record) -> tuple[str, tuple[Message, ...], tuple[str, ...], object]:
    """The user, the prompt's messages, the responses, and labeler and judgement of a ranking or a label."""
    if isinstance(record, BinaryLabel):
        return record.prompt.user, record.prompt.messages, (record.response,), (record.labeler, record.good)
    if isinstance(record, Ranking):
        return record.prompt.user, record.prompt.messages, record.responses, (record.labeler, record.ranks)
    if isinstance(record, Demonstration):
        return record.user, record.messages[:-1], (record.messages[-1].content,), None
    assert isinstance(record, Prompt)
    return record.user, record.messages, (), None


def _text(messages: Sequence[Message]) -> str:
    return normalised_text((message.role, message.content) for message in messages)
