"""Assignments: items are leased to labelers for a limited time and come back as submissions.

No labeler gets an item twice, except for repeats that measure consistency. When a lease expires, the
item is assigned to another labeler; a late submission of the first is still saved. Counts on the item
(`taken`, `done`) make the selection one indexed look-up, however many labelers there are. Submissions
are on disk before they are acknowledged; assignments and drafts are written at once and flushed with the
next submission. What a labeler has submitted stays, unless they reopen it (reopened_rankings.py).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

from sqlalchemy import Executable, bindparam, select
from sqlalchemy.orm import Session

from alignloop.labeling.database import LabelingDatabase, LabelingDatabaseError, log_event
from alignloop.labeling.equal_responses import copies, tie_copies
from alignloop.labeling.item_selection import AssignmentSettings, select_item
from alignloop.labeling.leases import counts_for_item, current_assignment, expire_leases
from alignloop.labeling.rounds import MAX_SKIPS
from alignloop.labeling.schema import Assignment, Item, Job, Labeler, Purpose, Round, Submission
from alignloop.records import check_order
from alignloop.seeds import seed_of

# statements that every page runs are built once
_OWN = (Assignment.id == bindparam("assignment")) & (Assignment.labeler == bindparam("labeler"))
OWN_ITEM = select(Assignment, Item).join(Item, Item.id == Assignment.item).where(_OWN)
OWN_ITEM_FOR_UPDATE = OWN_ITEM.with_for_update()
_OWN_FOR_UPDATE = select(Assignment).where(_OWN).with_for_update()
# locked before the item, as in every other transaction: no two wait for each other
_ROUND_OF_OWN = select(Item.round).join(Assignment, Item.id == Assignment.item).where(_OWN).scalar_subquery()
ROUND_CLOSED = select(Round.closed).where(Round.id == _ROUND_OF_OWN).with_for_update(read=True)
_VIEW = select(
    Assignment.id, Item.job, Item.purpose, Assignment.attempt, Assignment.state, Item.prompt, Item.responses
)
_VIEW = (
    _VIEW.add_columns(
        Assignment.presented, Assignment.draft, Assignment.started, Assignment.reopened, Item.turns
    )
    .join(Item, Item.id == Assignment.item)
    .where(_OWN)
)


class AssignmentNotFound(LabelingDatabaseError):
    """The assignment does not exist or belongs to another labeler; the message does not say which."""


@dataclass(frozen=True)
class AssignedItem:
    """An assignment as its labeler sees it, without the policies behind the responses."""

    id: int
    job: Job
    purpose: Purpose
    attempt: int
    state: str
    prompt: dict[str, Any]
    responses: list[str]
    presented: list[int]
    draft: dict[str, Any]
    started: float
    reopened: float | None
    turns: list[Any] | None = None  # of each response, where they may have called tools

    @property
    def is_editable(self) -> bool:
        """Whether the labeler can still write a draft or submit."""
        return self.state in ("open", "expired") or self.reopened is not None

    @property
    def cards(self) -> list[list[int]]:
        """The distinct responses in the order shown, each as the positions of its copies in that order."""
        return copies([self.responses[place] for place in self.presented])


@dataclass(frozen=True)
class SubmissionContent:
    """What a labeler submits for an assignment; lists are in the order of the item's responses."""

    ranks: Sequence[int] | None = None
    ratings: Sequence[dict[str, int]] = ()
    about: dict[str, str] = field(default_factory=dict)
    messages: Sequence[dict[str, str]] | None = None
    skipped: str | None = None
    active_seconds: float | None = None


def assign(
    database: LabelingDatabase, labeler: str, job: Job, purpose: Purpose, settings: AssignmentSettings
) -> int | None:
    """ID of the labeler's open assignment, or of a new one; None if no item is left for this labeler."""
    now = time.time()
    expires = now + settings.lease_minutes * 60
    with database.writing(flush=False) as session:
        person = session.get_one(Labeler, labeler, with_for_update=True)
        if person.status != "active" or not _is_allowed(person, purpose):
            return None
        expire_leases(session, now)
        if (current := current_assignment(session, labeler, job, purpose)) is not None:
            current.expires = expires
            return current.id
        item, attempt = select_item(session, labeler, job, purpose, settings)
        if item is None:
            return None
        places = list(range(len(item.responses)))
        Random(seed_of(attempt, item.key, labeler)).shuffle(places)
        new = Assignment(
            item=item.id,
            labeler=labeler,
            attempt=attempt,
            presented=places,
            draft={},
            started=now,
            expires=expires,
        )
        session.add(new)
        if counts_for_item(item, attempt):
            item.taken += 1
        session.flush()
        return new.id


def assigned_item(session: Session, assignment: int, labeler: str) -> AssignedItem:
    """The labeler's own assignment. Raises AssignmentNotFound."""
    return AssignedItem(*own_row(session, _VIEW, assignment, labeler))


def save_draft(
    database: LabelingDatabase,
    assignment: int,
    labeler: str,
    draft: Mapping[str, Any],
    settings: AssignmentSettings,
    ratings: Mapping[str, dict[str, int]] | None = None,
) -> bool:
    """Merge parts of a draft and single ratings into the saved draft and extend the lease.

    Returns False if the assignment is already finished.
    """
    with database.writing(flush=False) as session:
        [row] = own_row(session, _OWN_FOR_UPDATE, assignment, labeler)
        if row.state in ("done", "skipped") and row.reopened is None:
            return False
        row.draft = {
            **row.draft,
            **draft,
            **({"ratings": row.draft.get("ratings", {}) | ratings} if ratings else {}),
        }
        if row.state == "open":
            row.expires = time.time() + settings.lease_minutes * 60
        return True


def submit(
    database: LabelingDatabase, assignment: int, labeler: str, content: SubmissionContent, guidelines: str
) -> bool:
    """Save a submission, also after the lease has expired.

    Returns False if the assignment already has a submission, which then stays as it is.
    """
    now = time.time()
    with database.writing() as session:
        own = {"assignment": assignment, "labeler": labeler}
        is_late = session.scalar(ROUND_CLOSED, own) is not None
        row, item = own_row(session, OWN_ITEM_FOR_UPDATE, assignment, labeler)
        if row.state in ("done", "skipped"):
            return False
        record_submission(session, row, item, content, guidelines=guidelines, now=now, is_late=is_late)
        action = "skip" if content.skipped else "answer"
        log_event(session, labeler, action, str(row.id), item=item.key, reason=content.skipped)
    return True


def record_submission(
    session: Session,
    assignment: Assignment,
    item: Item,
    content: SubmissionContent,
    *,
    guidelines: str,
    now: float,
    is_late: bool = False,
) -> None:
    """Add the submission of an unfinished assignment and count it on its item; equal responses tie.

    Raises ValueError if the ranks are not a weak order.
    """
    if content.ranks is not None:
        check_order(tuple(content.ranks), len(item.responses))
    if counts_for_item(item, assignment.attempt):
        item.taken -= assignment.state == "open"
        item.done += content.skipped is None
        item.skips += content.skipped is not None
        if item.skips >= MAX_SKIPS and not item.done:
            item.active = False
    assignment.state = "done" if content.skipped is None else "skipped"
    session.add(
        Submission(
            assignment=assignment.id,
            item=item.id,
            labeler=assignment.labeler,
            attempt=assignment.attempt,
            ranks=None if content.ranks is None else tie_copies(content.ranks, item.responses),
            ratings=list(content.ratings),
            about=content.about,
            messages=None if content.messages is None else list(content.messages),
            skipped=content.skipped,
            guidelines=guidelines,
            seconds=round(max(0.0, now - assignment.started), 3),
            active_seconds=content.active_seconds,
            submitted=now,
            late=is_late,
        )
    )


def assign_conversation(database: LabelingDatabase, labeler: str, settings: AssignmentSettings) -> int | None:
    """ID of the assignment to write both sides of a conversation: the open one, or a new one."""
    now = time.time()
    expires = now + settings.lease_minutes * 60
    with database.writing(flush=False) as session:
        person = session.get_one(Labeler, labeler, with_for_update=True)
        if person.status != "active" or not person.qualified:
            return None
        if (current := current_assignment(session, labeler, "converse", "work")) is not None:
            current.expires = expires
            return current.id
        columns = {
            "round": "converse",
            "key": uuid4().hex,
            "job": "converse",
            "purpose": "work",
            "policy": "",
            "split": "train",
        }
        item = Item(**columns, prompt={"messages": []}, responses=[], wanted=1, taken=1)
        session.add(item)
        session.flush()
        new = Assignment(item=item.id, labeler=labeler, presented=[], draft={}, started=now, expires=expires)
        session.add(new)
        session.flush()
        return new.id


def _is_allowed(person: Labeler, purpose: Purpose) -> bool:
    """Reviewers and administrators review; all may take the quiz; only those who passed it label."""
    if purpose == "review":
        return person.role in ("reviewer", "admin")
    return purpose == "quiz" or bool(person.qualified)


def own_row(session: Session, statement: Executable, assignment: int, labeler: str) -> Any:
    """The row of `statement` for an assignment of this labeler. Raises AssignmentNotFound."""
    row = session.execute(statement, {"assignment": assignment, "labeler": labeler}).one_or_none()
    if row is None:
        raise AssignmentNotFound("You have no such assignment.")
    return row
