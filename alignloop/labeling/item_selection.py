"""Selection of the item that a labeler gets next: the quiz, gold items, repeats and the open rounds."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alignloop.labeling.schema import Assignment, Item, Job, Purpose, Round, Submission
from alignloop.seeds import seed_of

REPEAT_DISTANCE = 10  # submissions between an item and its repeat


@dataclass(frozen=True)
class AssignmentSettings:
    """Minutes of a lease, and the shares of gold items and of repeats among a labeler's rankings.

    A gold item is one whose order is known (ground truth).
    """

    lease_minutes: float
    gold_share: float
    repeated_share: float


def select_item(
    session: Session, labeler: str, job: Job, purpose: Purpose, settings: AssignmentSettings
) -> tuple[Item | None, int]:
    """A new item for the labeler, or None, and which attempt at it this is."""
    seen = select(Assignment.item).where(Assignment.labeler == labeler)
    free = select(Item.id).where(Item.job == job, Item.active, Item.id.not_in(seen))
    if purpose == "quiz":
        return _first_unlocked(session, free.where(Item.purpose == "quiz").order_by(Item.id)), 1
    if purpose == "work" and job == "rank":
        count = (
            session.scalar(select(func.count()).select_from(Assignment).where(Assignment.labeler == labeler))
            or 0
        )
        chance = seed_of(count, labeler, "what is mixed in") / 2**63
        if chance < settings.gold_share:
            if item := _first_unlocked(session, free.where(Item.purpose == "gold").order_by(Item.id)):
                return item, 1
        elif chance < settings.gold_share + settings.repeated_share and (item := _repeat(session, labeler)):
            return item, 2
        free = free.where(Item.round.in_(select(Round.id).where(Round.closed.is_(None))))
    busy = Item.done + Item.taken
    free = free.where(Item.purpose == purpose, busy < Item.wanted)
    return _first_unlocked(session, free.order_by(busy.desc(), Item.id)), 1


def _first_unlocked(session: Session, query: Any) -> Item | None:
    """The first item of a query that no other transaction has locked."""
    id = session.scalar(query.limit(1).with_for_update(skip_locked=True))
    return None if id is None else session.get(Item, id)


def _repeat(session: Session, labeler: str) -> Item | None:
    """An item that this labeler ranked once, at least REPEAT_DISTANCE submissions ago."""
    own = (
        select(Submission.item, Submission.attempt)
        .where(Submission.labeler == labeler, Submission.ranks.is_not(None))
        .order_by(Submission.submitted)
    )
    rows = session.execute(
        own.join(Item, Item.id == Submission.item).where(Item.purpose == "work", Item.active)
    ).all()
    repeated = {item for item, attempt in rows if attempt > 1}
    repeated |= set(
        session.scalars(select(Assignment.item).where(Assignment.labeler == labeler, Assignment.attempt > 1))
    )
    items = (item for item, _ in rows[:-REPEAT_DISTANCE])
    return next((session.get(Item, item) for item in items if item not in repeated), None)
