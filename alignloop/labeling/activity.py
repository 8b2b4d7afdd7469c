"""Labelers' activity: their own submissions, the counts of their progress bar, and the audit."""

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from alignloop.labeling.schema import Assignment, Event, Item, Purpose, Submission

# built once, for every page; the quiz is no work
_FINISHED = select(func.count()).select_from(Submission).join(Item, Item.id == Submission.item)
_FINISHED = _FINISHED.where(
    Item.purpose != "quiz",
    Submission.labeler == bindparam("labeler"),
    Submission.submitted > bindparam("since"),
    Submission.skipped.is_(None),
)


@dataclass(frozen=True)
class SubmissionSummary:
    """One submission as its labeler sees it; `prompt` is the last message of the user."""

    assignment: int
    job: str
    prompt: str
    ranks: list[int] | None
    presented: list[int]
    skipped: str | None
    is_reopened: bool
    seconds: float
    submitted: float


def own_submissions(
    session: Session, labeler: str, limit: int = 50, offset: int = 0
) -> list[SubmissionSummary]:
    """The labeler's last submissions, the newest first."""
    query = (
        select(Submission, Assignment, Item)
        .join(Assignment, Assignment.id == Submission.assignment)
        .join(Item, Item.id == Submission.item)
    )
    rows = session.execute(
        query.where(Submission.labeler == labeler)
        .order_by(Submission.submitted.desc(), Submission.assignment.desc())
        .limit(limit)
        .offset(offset)
    )
    return [
        SubmissionSummary(
            assignment=submission.assignment,
            job=item.job,
            prompt=_last_user_message(submission.messages or item.prompt["messages"]),
            ranks=submission.ranks,
            presented=assignment.presented,
            skipped=submission.skipped,
            is_reopened=assignment.reopened is not None,
            seconds=submission.active_seconds or submission.seconds,
            submitted=submission.submitted,
        )
        for submission, assignment, item in rows
    ]


def submission_of(session: Session, labeler: str, assignment: int) -> Submission | None:
    """The labeler's submission for an assignment."""
    return session.scalar(
        select(Submission).where(Submission.assignment == assignment, Submission.labeler == labeler)
    )


def count_finished(session: Session, labeler: str, since: float | None = None) -> int:
    """Number of items that the labeler finished, in the last 24 hours or since a given time."""
    return (
        session.scalar(
            _FINISHED, {"labeler": labeler, "since": time.time() - 86400 if since is None else since}
        )
        or 0
    )


def purpose_progress(session: Session, purpose: Purpose, labeler: str) -> tuple[int, int]:
    """Number of items of a purpose that the labeler has finished, and their total."""
    total = select(func.count()).select_from(Item).where(Item.purpose == purpose, Item.active)
    own = total.join(Submission, Submission.item == Item.id).where(Submission.labeler == labeler)
    return session.scalar(own) or 0, session.scalar(total) or 0


def count_remaining(session: Session, job: str) -> int:
    """Number of submissions still wanted for a job, over all labelers."""
    wanted = select(func.coalesce(func.sum(Item.wanted - Item.done), 0))
    return int(
        session.scalar(
            wanted.where(Item.job == job, Item.purpose == "work", Item.active, Item.done < Item.wanted)
        )
        or 0
    )


def audit_lines(session: Session, before: int | None = None, limit: int = 200) -> list[dict[str, Any]]:
    """Lines of the audit, the newest first."""
    query = select(Event).order_by(Event.id.desc()).limit(limit)
    lines = session.scalars(query if before is None else query.where(Event.id < before))
    return [
        {
            "id": line.id,
            "time": line.time,
            "actor": line.actor,
            "action": line.action,
            "subject": line.subject,
            "details": line.details,
        }
        for line in lines
    ]


def _last_user_message(messages: list[dict[str, str]]) -> str:
    texts = [message["content"] for message in messages if message["role"] == "user"]
    return texts[-1] if texts else ""
