"""Reopened rankings: until the round is closed, a labeler can send another ranking in place of their own.

The earlier ranking counts, in the round, in agreement and in exports, until the other takes its place; the
audit keeps it.
"""

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from alignloop.labeling.assignments import (
    OWN_ITEM,
    OWN_ITEM_FOR_UPDATE,
    ROUND_CLOSED,
    SubmissionContent,
    own_row,
)
from alignloop.labeling.database import LabelingDatabase, LabelingDatabaseError, log_event
from alignloop.labeling.equal_responses import tie_copies
from alignloop.labeling.schema import Assignment, Item, Labeler, Round, Submission
from alignloop.records import check_order


class ReopenRefused(LabelingDatabaseError):
    """The ranking cannot be changed; the message says why, in words for its labeler."""


def refusal(session: Session, assignment: int, labeler: str) -> str:
    """Why the labeler cannot reopen this submission; empty if they can. Raises AssignmentNotFound."""
    row, item = own_row(session, OWN_ITEM, assignment, labeler)
    plan = session.get(Round, item.round)
    return _refusal(
        row, item, session.get_one(Labeler, labeler), plan is not None and plan.closed is not None
    )


def reopen(database: LabelingDatabase, assignment: int, labeler: str, draft: Mapping[str, Any]) -> None:
    """Make the labeler's ranking editable again, with it as the draft. Raises ReopenRefused."""
    with database.writing() as session:
        person = session.get_one(Labeler, labeler)
        is_closed = session.scalar(ROUND_CLOSED, _own(assignment, labeler)) is not None
        row, item = own_row(session, OWN_ITEM_FOR_UPDATE, assignment, labeler)
        if problem := _refusal(row, item, person, is_closed):
            raise ReopenRefused(problem)
        if row.reopened is None:
            row.reopened, row.draft = time.time(), dict(draft)
            log_event(session, labeler, "reopen", str(row.id), item=item.key)


def keep(database: LabelingDatabase, assignment: int, labeler: str) -> None:
    """Stop editing a reopened ranking: it stays as it was."""
    with database.writing() as session:
        row, item = own_row(session, OWN_ITEM_FOR_UPDATE, assignment, labeler)
        if row.reopened is not None:
            row.reopened = None
            log_event(session, labeler, "keep answer", str(row.id), item=item.key)


def replace(
    database: LabelingDatabase, assignment: int, labeler: str, content: SubmissionContent, guidelines: str
) -> bool:
    """Put another ranking in the place of a reopened one.

    Returns False if it is not reopened (any more). Raises ReopenRefused if the round was closed meanwhile.
    """
    if content.ranks is None:
        raise ReopenRefused("A ranking that was sent can be changed, but not skipped.")
    now = time.time()
    with database.writing() as session:
        person = session.get_one(Labeler, labeler)
        is_closed = session.scalar(ROUND_CLOSED, _own(assignment, labeler)) is not None
        row, item = own_row(session, OWN_ITEM_FOR_UPDATE, assignment, labeler)
        if row.reopened is None:
            return False
        if problem := _refusal(row, item, person, is_closed):
            raise ReopenRefused(f"{problem} The ranking that you sent before counts.")
        check_order(tuple(content.ranks), len(item.responses))
        before = session.get_one(Submission, row.id)
        earlier = {
            name: getattr(before, name)
            for name in ("ranks", "ratings", "about", "guidelines", "seconds", "active_seconds", "submitted")
        }
        before.ranks = tie_copies(content.ranks, item.responses)
        before.ratings, before.about = list(content.ratings), content.about
        before.guidelines, before.submitted = guidelines, now
        before.seconds = round(before.seconds + max(0.0, now - row.reopened), 3)
        if before.active_seconds is not None:  # the page goes on counting from it
            before.active_seconds = content.active_seconds
        row.reopened = None
        log_event(session, labeler, "change answer", str(row.id), item=item.key, earlier=earlier)
    return True


def _own(assignment: int, labeler: str) -> dict[str, Any]:
    return {"assignment": assignment, "labeler": labeler}


def _refusal(row: Assignment, item: Item, person: Labeler, is_closed: bool) -> str:
    """The first reason why a submission stays as it is; empty if there is none."""
    reasons = {
        "Your account is paused: your submissions are kept as they are.": person.status != "active",
        "Items of the quiz are ranked once: your first ranking counts.": item.purpose == "quiz",
        "Votes of a review are final.": item.purpose == "review",
        "Only rankings can be reopened.": item.job != "rank" or row.state != "done",
        "This item measures agreement: your first ranking of it counts.": item.purpose == "gold"
        or row.attempt > 1,
        f"Round {item.round} is closed: its rankings are final.": is_closed,
        "This item is no longer part of its round.": not item.active,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")
