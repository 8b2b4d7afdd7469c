"""What people have said in chat as records: with consent alone, redacted, under a random name.

Prompts become prompts; what a response should have been, a demonstration and a ranking; a choice between two
responses, a ranking; thumbs up and down on responses to one prompt, a ranking of two ranks, which KTO reads
as labels; any other thumb, a label. A record's prompt is what the model got: without the messages that
exceeded its context.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from alignloop.data.pii.redaction import redact
from alignloop.labeling import consent
from alignloop.labeling.chat_calls import redacted_calls
from alignloop.labeling.chat_thumbs import sort_thumbs
from alignloop.labeling.consent import Consent, Statement
from alignloop.labeling.feedback import version_of
from alignloop.labeling.feedback_schema import Choice, ResponseComparison, ResponseFeedback
from alignloop.labeling.serving_schema import UNREAD, WHOLE, ChatMessage, Conversation
from alignloop.records import BinaryLabel, Demonstration, Message, Prompt, Ranking, Record

SOURCE = "chat with "  # `source` of the records, before the version that responded
ROUND, CATEGORY = "chat", "chat"
RANKS: dict[Choice, tuple[int, int]] = {"left": (1, 2), "right": (2, 1), "tie": (1, 1), "neither": (1, 1)}
PROMPTS, DEMONSTRATIONS = "prompts", "demonstrations"  # kinds of records; the next three are rankings
COMPARISONS, EDITS = "comparisons", "edits"
THUMBS = "thumbs"
LABELS = "labels"  # binary ones
NO_CONSENT = "of people who have not agreed, or have withdrawn"
EARLIER = "of people who agreed to an earlier statement"
BEFORE = "said before the person agreed"
LATER = "said later than what this run learns from"
EMPTY = "with an empty message"
EQUAL = "of responses that redaction makes equal"
RULED_OUT = "that a rule or a person did not let through, or of dialogues with such responses"
UNRECORDED = "of which it is not recorded what system prompt the model got"


@dataclass
class ChatRecords:
    """The records by kind; what is left out, by what and why; and what was redacted, by kind."""

    records: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)
    people: set[str] = field(default_factory=set)


class _LeftOut(Exception):
    """Why something gives no record."""


def version_in(source: str) -> str | None:
    """The version that responded, of the `source` of a record; None if it is not from chat."""
    return source.removeprefix(SOURCE) if source.startswith(SOURCE) else None


def collect(session: Session, statement: Statement, most_responses: int, until: float = inf) -> ChatRecords:
    """What was said until a moment and may be used now; a ranking has `most_responses` responses at most."""
    found = ChatRecords()
    known, names = consent.consents(session, statement.version), consent.pseudonyms(session)
    for conversation in session.scalars(select(Conversation).order_by(Conversation.created, Conversation.id)):
        given = known.get(conversation.owner, Consent())
        name = names.get(conversation.owner, "")
        dialogue = _Dialogue(session, conversation, given, name=name, found=found, until=until)
        dialogue.add(most_responses)
    return found


class _Dialogue:
    """One conversation with the feedback in it."""

    def __init__(
        self,
        session: Session,
        conversation: Conversation,
        given: Consent,
        *,
        name: str,
        found: ChatRecords,
        until: float,
    ) -> None:
        of_it = ChatMessage.conversation == conversation.id
        query = select(ChatMessage).where(of_it).order_by(ChatMessage.id)
        self._messages = {message.id: message for message in session.scalars(query)}
        rows = select(ResponseFeedback).join(ChatMessage, ChatMessage.id == ResponseFeedback.message)
        self._feedback = list(session.scalars(rows.where(of_it).order_by(ResponseFeedback.message)))
        pairs = select(ResponseComparison).where(ResponseComparison.conversation == conversation.id)
        self._comparisons = list(session.scalars(pairs.order_by(ResponseComparison.id)))
        self._conversation, self._given = conversation, given
        self._name, self._found = name, found
        self._until = until
        self._counts = Counter[str]()  # redactions in what is being made

    def add(self, most_responses: int) -> None:
        """Add the records of the conversation, and count what gives none."""
        prompts = [message for message in self._messages.values() if message.role == "user"]
        edits = [row for row in self._feedback if row.kind == "edit"]
        thumbs = [row for row in self._feedback if row.kind == "thumb"]
        if not self._given.is_given:
            reason = EARLIER if self._given.earlier else NO_CONSENT
            counts = {
                PROMPTS: len(prompts),
                EDITS: len(edits),
                THUMBS: len(thumbs),
                COMPARISONS: len(self._comparisons),
            }
            self._found.left_out.update({(what, reason): count for what, count in counts.items() if count})
            return
        for prompt in prompts:
            self._try(PROMPTS, self._prompt, prompt)
        for row in edits:
            self._try(EDITS, self._edit, row)
        for pair in self._comparisons:
            self._try(COMPARISONS, self._comparison, pair)
        self._thumbs(thumbs, most_responses)

    def _try(
        self, what: str, make: Callable[[Any], Iterator[tuple[str, Record]]], row: Any, count: int = 1
    ) -> None:
        """Add the records that `make` makes of a row, or count it (`count` times) with the reason."""
        self._counts = Counter[str]()
        try:
            made = list(make(row))
        except _LeftOut as reason:
            self._found.left_out[what, str(reason)] += count
            return
        for kind, record in made:
            self._found.records[kind].append(record)
            self._found.people.add(self._name)
        self._found.redacted.update(self._counts)

    def _prompt(self, prompt: ChatMessage) -> Iterator[tuple[str, Record]]:
        first = next((each for each in self._messages.values() if each.parent == prompt.id), None)
        if first is None:
            raise _LeftOut("without a response")
        yield PROMPTS, self._asked(first)

    def _edit(self, row: ResponseFeedback) -> Iterator[tuple[str, Record]]:
        response = self._messages[row.message]
        self._check_time(row.time)
        asked = self._asked(response)
        better, given = self._redacted(row.text), self._redacted(response.content)
        if better == given:
            raise _LeftOut(EQUAL)
        messages = (*asked.messages, Message(role="assistant", content=better))
        about: dict[str, Any] = {"user": self._name, "labeler": self._labeler, "category": CATEGORY}
        about |= {"time": day_of(row.time), "calls": redacted_calls(response.steps, self._redacted)}
        id = self._id("edit", response)
        yield DEMONSTRATIONS, Demonstration(id=id, messages=messages, source=asked.source, **about)
        if response.state in WHOLE:
            yield EDITS, self._ranking(f"{id}-ranked", asked, {better: 1, given: 2}, row.time, [response])
        else:
            self._found.left_out[EDITS, "of responses that were stopped: no ranking"] += 1

    def _comparison(self, pair: ResponseComparison) -> Iterator[tuple[str, Record]]:
        if pair.choice is None or pair.time is None:
            raise _LeftOut("without a choice")
        self._check_time(pair.time)
        responses = [self._messages[id] for id in (pair.left, pair.right)]
        asked, texts = self._asked(responses[0]), [self._redacted(each.content) for each in responses]
        if (responses[0].system, responses[0].left_out) != (responses[1].system, responses[1].left_out):
            raise _LeftOut("of responses to different prompts")
        if texts[0] == texts[1]:
            raise _LeftOut(EQUAL)
        id = self._id("choice", responses[0])
        ranks = dict(zip(texts, RANKS[pair.choice], strict=True))
        yield COMPARISONS, self._ranking(id, asked, ranks, pair.time, responses)

    def _thumbs(self, rows: Sequence[ResponseFeedback], most: int) -> None:
        groups: dict[Any, list[ResponseFeedback]] = defaultdict(list)
        for row in rows:
            response = self._messages[row.message]
            try:
                self._check_time(row.time)
            except _LeftOut as reason:
                self._found.left_out[THUMBS, str(reason)] += 1
                continue
            if response.state not in WHOLE:
                self._found.left_out[THUMBS, "on responses that were stopped"] += 1
            else:
                groups[response.parent, response.system, response.left_out].append(row)
        for group in groups.values():
            thumbs = sort_thumbs(group, lambda row: self._messages[row.message].content.strip(), most)
            if thumbs.ranked:
                self._try(THUMBS, self._ranked_thumbs, thumbs.ranked, len(thumbs.ranked))
            for row in thumbs.single:
                self._try(THUMBS, self._label, row)
            if thumbs.unused:
                why = "on equal responses, or beyond the most responses of a ranking"
                self._found.left_out[THUMBS, why] += thumbs.unused

    def _ranked_thumbs(self, rows: Sequence[ResponseFeedback]) -> Iterator[tuple[str, Record]]:
        responses = [self._messages[row.message] for row in rows]
        texts = [self._redacted(each.content) for each in responses]
        ranks = {text: 1 if row.is_up else 2 for text, row in zip(texts, rows, strict=True)}
        if len(ranks) < len(texts):
            raise _LeftOut(EQUAL)
        asked, last = self._asked(responses[0]), max(row.time for row in rows)
        yield THUMBS, self._ranking(self._id("thumbs", responses[0]), asked, ranks, last, responses)

    def _label(self, row: ResponseFeedback) -> Iterator[tuple[str, Record]]:
        response = self._messages[row.message]
        about: dict[str, Any] = {"round": ROUND, "time": day_of(row.time), "policy": version_of(response)}
        yield (
            LABELS,
            BinaryLabel(
                id=self._id("label", response),
                prompt=self._asked(response),
                response=self._redacted(response.content),
                good=bool(row.is_up),
                labeler=self._labeler,
                by="person",
                **about,
            ),
        )

    def _ranking(
        self,
        id: str,
        asked: Prompt,
        ranks: Mapping[str, int],
        moment: float,
        responses: Sequence[ChatMessage],
    ) -> Ranking:
        """A ranking of distinct texts, each with its rank."""
        return Ranking(
            id=id,
            prompt=asked,
            responses=tuple(ranks),
            ranks=tuple(ranks.values()),
            labeler=self._labeler,
            kind="person",
            policy=", ".join(sorted({version_of(each) for each in responses})),
            round=ROUND,
            time=day_of(moment),
        )

    def _asked(self, response: ChatMessage) -> Prompt:
        """What the model got, if all of it was said with consent. Raises _LeftOut."""
        chain: list[ChatMessage] = []
        place = response.parent
        while place is not None:
            chain.append(self._messages[place])
            place = chain[-1].parent
        if any(message.state in UNREAD for message in (response, *chain)):
            raise _LeftOut(RULED_OUT)
        prompt, chain = chain[0], chain[::-1][response.left_out :]
        if response.system is None:
            raise _LeftOut(UNRECORDED)
        for message in chain:
            if message.role == "user":
                self._check_time(message.created)
        system = response.system.strip()
        if system:
            self._check_time(self._conversation.created)
        turns: list[tuple[Any, str]] = [("system", system)] if system else []
        turns += [(message.role, message.content) for message in chain]
        if not all(content.strip() for _, content in turns):
            raise _LeftOut(EMPTY)
        return Prompt(
            id=self._id("prompt", prompt) + (f"-{response.left_out}" if response.left_out else ""),
            messages=tuple(Message(role=role, content=self._redacted(content)) for role, content in turns),
            user=self._name,
            category=CATEGORY,
            time=day_of(prompt.created),
            source=SOURCE + version_of(response),
        )

    @property
    def _labeler(self) -> str:
        return f"labeler-{self._name}"

    def _check_time(self, moment: float) -> None:
        if moment > self._until:
            raise _LeftOut(LATER)
        if not self._given.covers(moment):
            raise _LeftOut(BEFORE)

    def _redacted(self, text: str) -> str:
        text, counts = redact(text)
        self._counts.update(counts)
        return text

    def _id(self, what: str, message: ChatMessage) -> str:
        return f"chat-{what}-{self._conversation.id[-12:]}-{message.id}"


def day_of(moment: float) -> str:
    """The day of a moment (seconds since 1970), in UTC."""
    return datetime.fromtimestamp(moment, UTC).date().isoformat()
