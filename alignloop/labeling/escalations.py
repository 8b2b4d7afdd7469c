"""Escalations: a person answers where a rule asks for one, or refuses to."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from alignloop.labeling.database import LabelingDatabase, LabelingDatabaseError, is_postgresql, log_event
from alignloop.labeling.escalation_schema import Escalation
from alignloop.labeling.serving_schema import ChatMessage

MOST_SHOWN = 100


class EscalationNotFound(LabelingDatabaseError):
    """There is no such escalation: its conversation was deleted, say."""


class EscalationClosed(LabelingDatabaseError):
    """Somebody has answered or refused it meanwhile."""


@dataclass(frozen=True)
class Ask:
    """What a rule leaves to a person, and the model's response if there is one."""

    rule: str
    side: str
    draft: str


@dataclass(frozen=True)
class Opened:
    """An escalation with the dialogue up to the prompt, as a moderator reads it."""

    escalation: Escalation
    dialogue: tuple[ChatMessage, ...]


def add(session: Session, conversation: str, message: int, ask: Ask) -> None:
    """Open an escalation for a message that waits, in the transaction that saves the message."""
    session.add(
        Escalation(
            conversation=conversation,
            message=message,
            rule=ask.rule,
            side=ask.side,
            draft=ask.draft,
            state="open",
            created=time.time(),
        )
    )


def listed(session: Session) -> list[Escalation]:
    """Those that are open, the oldest first."""
    query = select(Escalation).where(Escalation.state == "open").order_by(Escalation.created)
    return list(session.scalars(query.limit(MOST_SHOWN)))


def count_open(session: Session) -> int:
    """How many are open."""
    query = select(func.count()).select_from(Escalation).where(Escalation.state == "open")
    return session.scalar(query) or 0


def opened(session: Session, id: int) -> Opened:
    """One with its dialogue. Raises EscalationNotFound."""
    found = session.get(Escalation, id)
    if found is None:
        raise EscalationNotFound("There is no such escalation.")
    dialogue: list[ChatMessage] = []
    place = session.get_one(ChatMessage, found.message).parent
    while place is not None:
        message = session.get_one(ChatMessage, place)
        dialogue.append(message)
        place = message.parent
    return Opened(found, tuple(dialogue[::-1]))


def close(database: LabelingDatabase, moderator: str, id: int, content: str, *, is_refused: bool) -> None:
    """Put a person's words in place of what waits. Raises EscalationNotFound or EscalationClosed."""
    with database.writing() as session:
        query = select(Escalation).where(Escalation.id == id)
        if is_postgresql(session):  # SQLite has one writer at a time
            query = query.with_for_update()
        found = session.scalar(query)
        if found is None:
            raise EscalationNotFound("There is no such escalation.")
        if found.state != "open":
            raise EscalationClosed(f"{found.moderator} has closed this escalation meanwhile.")
        message = session.get_one(ChatMessage, found.message)
        message.content, message.state = content, "refused" if is_refused else "person"
        found.state = "refused" if is_refused else "answered"
        found.moderator, found.closed = moderator, time.time()
        what = "refuse escalation" if is_refused else "answer escalation"
        about = {"rule": found.rule, "where": found.conversation, "is_draft": content == found.draft}
        log_event(session, moderator, what, str(id), **about)


def remove(session: Session, conversations: Sequence[str]) -> None:
    """Remove those of some conversations."""
    session.execute(delete(Escalation).where(Escalation.conversation.in_(conversations)))
