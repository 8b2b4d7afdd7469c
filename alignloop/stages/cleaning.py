"""A record as models may see it: without personal data, and tagged with its language where that is wanted; what was done is counted."""

from collections import Counter
from collections.abc import Iterable

from alignloop.io.identity import identify
from alignloop.io.language import language_of
from alignloop.io.privacy import found, redact
from alignloop.records import Demonstration, Document, Message, Prompt, Ranking, Record


class Cleaner:
    """Cleans the records of one set, and counts in `tally` what it took out and which languages it saw."""

    def __init__(self, tally: Counter[str], languages: bool) -> None:
        self._tally, self._languages = tally, languages

    def clean(self, record: Record) -> Record:
        """The record, redacted and tagged."""
        if isinstance(record, Ranking):
            responses = tuple(self._text(response) for response in record.responses)
            return record.model_copy(update={"prompt": self._prompt(record.prompt), "responses": responses})
        if isinstance(record, Demonstration):
            messages = self._messages(record.messages)
            changes = {"messages": messages, "user": self._user(record.user), **self._tag(turn.content for turn in messages)}
            return record.model_copy(update=changes)
        if isinstance(record, Document):
            text = None if record.text is None else self._text(record.text)
            messages = record.messages and self._messages(record.messages)
            said = [text or "", *(turn.content for turn in messages or ())]
            return record.model_copy(update={"text": text, "messages": messages, **self._tag(said)})
        assert isinstance(record, Prompt)
        return self._prompt(record)

    def _prompt(self, prompt: Prompt) -> Prompt:
        messages = self._messages(prompt.messages)
        tag = self._tag(turn.content for turn in messages if turn.role == "user")
        return prompt.model_copy(update={"messages": messages, "user": self._user(prompt.user), **tag})

    def _messages(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        return tuple(message.model_copy(update={"content": self._text(message.content)}) for message in messages)

    def _text(self, text: str) -> str:
        clean, counts = redact(text)
        self._tally.update({f"redacted {kind}": count for kind, count in counts.items()})
        return clean

    def _user(self, user: str) -> str:
        """The user's id, or a pseudonym of it where the id is personal data itself: the same one wherever the user appears."""
        if not found(user):
            return user
        self._tally["redacted user ids"] += 1
        return identify("user", user)

    def _tag(self, said: Iterable[str]) -> dict[str, str]:
        if not self._languages:
            return {}
        language = language_of("\n".join(said))
        self._tally[f"language {language}"] += 1
        return {"language": language}
