"""Leases of assignments: when they expire, and which assignment a labeler holds."""

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from alignloop.labeling.schema import Assignment, Item, Job, Purpose

COUNTED_PURPOSES = ("work", "review")
_EXPIRED = (
    select(Assignment)
    .where(Assignment.state == "open", Assignment.expires < bindparam("now"))
    .order_by(Assignment.item)
    .with_for_update(skip_locked=True)
)


def counts_for_item(item: Item, attempt: int) -> bool:
    """Whether an assignment counts in the item's `taken` and `done`: quiz, gold and repeats do not."""
    return item.purpose in COUNTED_PURPOSES and attempt == 1


def expire_leases(session: Session, now: float) -> None:
    """Mark assignments whose lease has ended as expired, so that their items can be assigned again."""
    for assignment in session.scalars(_EXPIRED, {"now": now}):
        assignment.state = "expired"
        item = session.get_one(Item, assignment.item, with_for_update=True)
        if counts_for_item(item, assignment.attempt):
            item.taken -= 1
    session.flush()


def current_assignment(session: Session, labeler: str, job: Job, purpose: Purpose) -> Assignment | None:
    """The labeler's open assignment, or an expired one whose item is still free; the latter is reopened."""
    purposes = (purpose, "gold") if purpose == "work" else (purpose,)
    own = select(Assignment, Item).join(Item, Item.id == Assignment.item).where(Assignment.labeler == labeler)
    own = own.where(Assignment.state.in_(("open", "expired")), Item.job == job, Item.purpose.in_(purposes))
    for assignment, item in session.execute(own.order_by(Assignment.state.desc(), Assignment.id)):
        if assignment.state == "open":
            return assignment
        counts = counts_for_item(item, assignment.attempt)
        if item.active and (not counts or item.done + item.taken < item.wanted):
            assignment.state = "open"
            item.taken += counts
            return assignment
    return None
