"""A record as models may see it: without personal data, and tagged with its language where that is wanted; what was done is counted."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from alignloop.data.content_ids import identify, number_of
from alignloop.data.language import languages_of
from alignloop.data.pii import found_in_id, redact
from alignloop.data.preparation.question_cache import Codes, Known
from alignloop.data.preparation.word_hashes import Hashes
from alignloop.records import Demonstration, Document, Message, Prompt, Ranking, Record

R = TypeVar("R", bound=Record)
Spoken = tuple[Hashes, Codes]
NOTHING: Spoken = np.zeros(0, np.uint64), np.zeros(0, "S3")


class Cleaner:
    """Cleans records of one set, and counts in `tally` what it took out and which languages it saw.

    `spoken` are the hashes of what people say in them, and its languages, where these are wanted.
    """

    def __init__(self, tally: Counter[str], languages: bool, known: Known | None) -> None:
        self._tally, self._languages, self._known = tally, languages, known
        self.spoken = NOTHING

    def clean(self, records: Iterable[Record]) -> list[Record]:
        """The records, redacted and tagged."""
        redacted = [self._redacted(record) for record in records]
        if not self._languages:
            return redacted
        languages = self._languages_of([_spoken(record) for record in redacted])
        self._tally.update(f"language {language}" for language in languages)
        return [_tagged(record, language) for record, language in zip(redacted, languages, strict=True)]

    def _languages_of(self, texts: Sequence[str]) -> list[str]:
        spoken = [number_of(text) for text in texts]
        languages = self._known.languages_of(spoken) if self._known else [""] * len(texts)
        unknown = [place for place, language in enumerate(languages) if not language]
        for place, language in zip(unknown, languages_of([texts[place] for place in unknown]), strict=True):
            languages[place] = language
        self.spoken = np.array(spoken, np.uint64), np.array(languages, "S3")
        return languages

    def _redacted(self, record: Record) -> Record:
        if isinstance(record, Ranking):
            responses = tuple(self._text(response) for response in record.responses)
            return _with(record, prompt=self._prompt(record.prompt), responses=responses)
        if isinstance(record, Demonstration):
            return _with(record, messages=self._messages(record.messages), user=self._user(record.user))
        if isinstance(record, Document):
            text = None if record.text is None else self._text(record.text)
            return _with(record, text=text, messages=record.messages and self._messages(record.messages))
        assert isinstance(record, Prompt)
        return self._prompt(record)

    def _prompt(self, prompt: Prompt) -> Prompt:
        return _with(prompt, messages=self._messages(prompt.messages), user=self._user(prompt.user))

    def _messages(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        return tuple(_with(message, content=self._text(message.content)) for message in messages)

    def _text(self, text: str) -> str:
        clean, counts = redact(text)
        if counts:
            self._tally.update({f"redacted {kind}": count for kind, count in counts.items()})
        return clean

    def _user(self, user: str) -> str:
        """The user's id, or a pseudonym of it where the id is personal data itself: the same one wherever the user appears."""
        if not found_in_id(user):
            return user
        self._tally["redacted user ids"] += 1
        return identify("user", user)


def _spoken(record: Record) -> str:
    """What tells a record's language: of a ranking and a prompt what people say."""
    asked = record.prompt if isinstance(record, Ranking) else record
    assert isinstance(asked, Prompt | Demonstration | Document)
    text = asked.text or "" if isinstance(asked, Document) else ""
    turns = (turn for turn in asked.messages or () if turn.role == "user" or not isinstance(asked, Prompt))
    return "\n".join([*([text] if isinstance(asked, Document) else []), *(turn.content for turn in turns)])


def _tagged(record: Record, language: str) -> Record:
    if isinstance(record, Ranking):
        return record.model_copy(update={"prompt": _tagged(record.prompt, language)})
    return record.model_copy(update={"language": language})


def _with(record: R, **fields: object) -> R:
    """The record with these fields: itself where they are its own, for copies take time."""
    return (
        record
        if all(getattr(record, name) == value for name, value in fields.items())
        else record.model_copy(update=fields)
    )
