"""What labelers did: their own answers for themselves, counts for their progress bar, and the audit for administrators."""

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from alignloop.labeling.schema import Answer, Assignment, Event, Item, Purpose

_TODAY = select(func.count()).select_from(Answer)  # built once, for every page
_TODAY = _TODAY.where(
    Answer.labeler == bindparam("labeler"), Answer.submitted > bindparam("since"), Answer.skipped.is_(None)
)


@dataclass(frozen=True)
class Done:
    """One answer of a labeler's own, as shown to them."""

    assignment: int
    job: str
    first: str
    ranks: list[int] | None
    presented: list[int]
    skipped: str | None
    seconds: float
    submitted: float


def own(session: Session, labeler: str, most: int = 50) -> list[Done]:
    """The labeler's last answers, the newest first."""
    query = (
        select(Answer, Assignment.presented, Item)
        .join(Assignment, Assignment.id == Answer.assignment)
        .join(Item, Item.id == Answer.item)
    )
    rows = session.execute(
        query.where(Answer.labeler == labeler)
        .order_by(Answer.submitted.desc(), Answer.assignment.desc())
        .limit(most)
    )
    return [
        Done(
            answer.assignment,
            item.job,
            _last(answer.messages or item.prompt["messages"]),
            answer.ranks,
            presented,
            answer.skipped,
            answer.active_seconds or answer.seconds,
            answer.submitted,
        )
        for answer, presented, item in rows
    ]


def answered(session: Session, labeler: str, assignment: int) -> Answer | None:
    """The labeler's answer for an assignment."""
    return session.scalar(select(Answer).where(Answer.assignment == assignment, Answer.labeler == labeler))


def finished(session: Session, labeler: str, since: float | None = None) -> int:
    """How many items the labeler finished, in the last 24 hours or since another moment."""
    return (
        session.scalar(_TODAY, {"labeler": labeler, "since": time.time() - 86400 if since is None else since})
        or 0
    )


def of_purpose(session: Session, purpose: Purpose, labeler: str) -> tuple[int, int]:
    """How many items of a purpose the labeler has answered, and how many there are."""
    there = select(func.count()).select_from(Item).where(Item.purpose == purpose, Item.active)
    mine = there.join(Answer, Answer.item == Item.id).where(Answer.labeler == labeler)
    return session.scalar(mine) or 0, session.scalar(there) or 0


def left(session: Session, job: str) -> int:
    """How many answers to prompts or rankings are still wanted, over all."""
    wanted = select(func.coalesce(func.sum(Item.wanted - Item.done), 0))
    return int(
        session.scalar(
            wanted.where(Item.job == job, Item.purpose == "work", Item.active, Item.done < Item.wanted)
        )
        or 0
    )


def audit(session: Session, before: int | None = None, most: int = 200) -> list[dict[str, Any]]:
    """Lines of the audit, the newest first."""
    query = select(Event).order_by(Event.id.desc()).limit(most)
    lines = session.scalars(query if before is None else query.where(Event.id < before))
    return [
        {
            "id": x.id,
            "time": x.time,
            "actor": x.actor,
            "action": x.action,
            "subject": x.subject,
            "details": x.details,
        }
        for x in lines
    ]


def _last(messages: list[dict[str, str]]) -> str:
    said = [message["content"] for message in messages if message["role"] == "user"]
    return said[-1] if said else ""
