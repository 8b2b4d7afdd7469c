"""Cleans records: redacts personal data, tags the language if wanted, and counts both."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from alignloop.data.content_ids import content_id, hash64
from alignloop.data.language import languages_of
from alignloop.data.pii.redaction import kinds_in_id, redact
from alignloop.data.preparation.prompt_cache import LanguageCodes, PromptCache
from alignloop.data.preparation.word_hashes import Hashes
from alignloop.records import (
    BinaryLabel,
    Demonstration,
    Document,
    Message,
    Prompt,
    Ranking,
    Record,
    prompt_of,
)
from alignloop.tool_turns import ToolCall

R = TypeVar("R", bound=Record)
TextLanguages = tuple[Hashes, LanguageCodes]  # hashes of texts, and the language of each
NO_LANGUAGES: TextLanguages = np.zeros(0, np.uint64), np.zeros(0, "S3")


class Cleaner:
    """Cleans the records of one set; `tally` counts the redactions and the languages.

    `text_languages` holds, where languages are wanted, the hashes of the texts by which they were
    detected, and the languages.
    """

    def __init__(self, tally: Counter[str], languages: bool, cache: PromptCache | None) -> None:
        self._tally = tally
        self._languages = languages
        self._cache = cache
        self.text_languages = NO_LANGUAGES

    def clean(self, records: Iterable[Record]) -> list[Record]:
        """The records, redacted and tagged."""
        redacted = [self._redacted(record) for record in records]
        if not self._languages:
            return redacted
        languages = self._languages_of([_language_text(record) for record in redacted])
        self._tally.update(f"language {language}" for language in languages)
        return [_tagged(record, language) for record, language in zip(redacted, languages, strict=True)]

    def _languages_of(self, texts: Sequence[str]) -> list[str]:
        hashes = [hash64(text) for text in texts]
        languages = self._cache.languages_of(hashes) if self._cache else [""] * len(texts)
        unknown = [index for index, language in enumerate(languages) if not language]
        for index, language in zip(unknown, languages_of([texts[index] for index in unknown]), strict=True):
            languages[index] = language
        self.text_languages = np.array(hashes, np.uint64), np.array(languages, "S3")
        return languages

    def _redacted(self, record: Record) -> Record:
        if isinstance(record, Ranking):
            responses = tuple(self._text(response) for response in record.responses)
            return _with(record, prompt=self._prompt(record.prompt), responses=responses)
        if isinstance(record, BinaryLabel):
            response = self._text(record.response)
            return _with(record, prompt=self._prompt(record.prompt), response=response)
        if isinstance(record, Demonstration):
            calls = tuple(self._call(call) for call in record.calls)
            messages = self._messages(record.messages)
            return _with(record, messages=messages, user=self._user(record.user), calls=calls)
        if isinstance(record, Document):
            text = None if record.text is None else self._text(record.text)
            return _with(record, text=text, messages=record.messages and self._messages(record.messages))
        assert isinstance(record, Prompt)
        return self._prompt(record)

    def _prompt(self, prompt: Prompt) -> Prompt:
        return _with(prompt, messages=self._messages(prompt.messages), user=self._user(prompt.user))

    def _messages(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        return tuple(_with(message, content=self._text(message.content)) for message in messages)

    def _call(self, call: ToolCall) -> ToolCall:
        arguments = {name: self._value(value) for name, value in call.arguments.items()}
        return _with(call, arguments=arguments, result=self._text(call.result))

    def _value(self, value: Any) -> Any:
        """An argument of a call, with all texts in it redacted."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if isinstance(value, dict):
            return {name: self._value(each) for name, each in value.items()}
        return value

    def _text(self, text: str) -> str:
        clean, counts = redact(text)
        if counts:
            self._tally.update({f"redacted {kind}": count for kind, count in counts.items()})
        return clean

    def _user(self, user: str) -> str:
        """The user's id, or a pseudonym where the id itself is personal data: the same in every record."""
        if not kinds_in_id(user):
            return user
        self._tally["redacted user ids"] += 1
        return content_id("user", user)


def _language_text(record: Record) -> str:
    """The text whose language is detected: of a prompt and of a judgement, the user's turns only."""
    conversation = prompt_of(record)
    assert isinstance(conversation, Prompt | Demonstration | Document)
    messages = conversation.messages or ()
    if isinstance(conversation, Prompt):
        messages = tuple(message for message in messages if message.role == "user")
    text = [conversation.text or ""] if isinstance(conversation, Document) else []
    return "\n".join([*text, *(message.content for message in messages)])


def _tagged(record: Record, language: str) -> Record:
    if isinstance(record, Ranking | BinaryLabel):
        return record.model_copy(update={"prompt": _tagged(record.prompt, language)})
    return record.model_copy(update={"language": language})


def _with(record: R, **fields: object) -> R:
    """The record with these fields; the record itself where nothing changes, because copies take time."""
    if all(getattr(record, name) == value for name, value in fields.items()):
        return record
    return record.model_copy(update=fields)
