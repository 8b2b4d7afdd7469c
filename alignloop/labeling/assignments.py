"""Who works on what: items are lent to labelers for a time, shuffled for each of them, and come back as answers, once.

Nobody gets an item twice, but for repeats that test consistency. An item whose lease runs out is lent again; what its first labeler
sends all the same is kept. Counts on the item (`taken`, `done`) make the choice one indexed look-up however many labelers there are.
Answers are on the disk before they are acknowledged; loans and drafts are written at once and flushed with the next answer.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

from sqlalchemy import Executable, bindparam, func, select
from sqlalchemy.orm import Session

from alignloop.labeling.database import Store, StoreError, note
from alignloop.labeling.rounds import SKIPS
from alignloop.labeling.schema import Answer, Assignment, Item, Job, Labeler, Purpose, Round
from alignloop.records import check_order
from alignloop.seeds import seed_of

APART = 10  # answers between an item and its repeat
COUNTED = ("work", "review")
# statements of every page are built once
_MINE = (Assignment.id == bindparam("assignment")) & (Assignment.labeler == bindparam("labeler"))
_OWN = select(Assignment, Item).join(Item, Item.id == Assignment.item).where(_MINE).with_for_update()
_SEEN = select(
    Assignment.id, Item.job, Item.purpose, Assignment.attempt, Assignment.state, Item.prompt, Item.responses
)
_SEEN = (
    _SEEN.add_columns(Assignment.presented, Assignment.draft, Assignment.begun)
    .join(Item, Item.id == Assignment.item)
    .where(_MINE)
)
_DRAFTED = select(Assignment).where(_MINE).with_for_update()
_LATE = (
    select(Assignment)
    .where(Assignment.state == "open", Assignment.expires < bindparam("now"))
    .order_by(Assignment.item)
)
_LATE = _LATE.with_for_update(skip_locked=True)


class NotYours(StoreError):
    """There is no such assignment, or it is somebody else's: which of both is not told."""


@dataclass(frozen=True)
class Lending:
    """How items are lent: for how long, and which share of them are gold or repeats."""

    minutes: float
    gold: float
    repeated: float


@dataclass(frozen=True)
class Work:
    """An assignment as its labeler sees it: nothing in it tells which model answered or what the item is for."""

    id: int
    job: Job
    purpose: Purpose
    attempt: int
    state: str
    prompt: dict[str, Any]
    responses: list[str]
    presented: list[int]
    draft: dict[str, Any]
    begun: float


@dataclass(frozen=True)
class Given:
    """What a labeler gives for an assignment; lists stand in the order of the item's responses."""

    ranks: Sequence[int] | None = None
    ratings: Sequence[dict[str, int]] = ()
    about: dict[str, str] = field(default_factory=dict)
    messages: Sequence[dict[str, str]] | None = None
    skipped: str | None = None
    active_seconds: float | None = None


def take(store: Store, labeler: str, job: Job, purpose: Purpose, lending: Lending) -> int | None:
    """The assignment the labeler works on next: the one in hand, or a new one; None where nothing is left for this labeler."""
    now = time.time()
    until = now + lending.minutes * 60
    with store.writing(flush=False) as session:
        person = session.get_one(Labeler, labeler, with_for_update=True)
        if person.standing != "active" or not _may(person, purpose):
            return None
        _expire(session, now)
        if (held := _held(session, labeler, job, purpose)) is not None:
            held.expires = until
            return held.id
        item, attempt = _choose(session, labeler, job, purpose, lending)
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
            begun=now,
            expires=until,
        )
        session.add(new)
        if _counts(item, attempt):
            item.taken += 1
        session.flush()
        return new.id


def look(session: Session, assignment: int, labeler: str) -> Work:
    """The labeler's own assignment. Raises NotYours."""
    return Work(*_mine(session, _SEEN, assignment, labeler))


def save_draft(
    store: Store,
    assignment: int,
    labeler: str,
    draft: Mapping[str, Any],
    lending: Lending,
    ratings: Mapping[str, dict[str, int]] | None = None,
) -> bool:
    """Keep parts of a draft and single ratings beside what was kept before, and the item with its labeler; False if it is finished."""
    with store.writing(flush=False) as session:
        [lent] = _mine(session, _DRAFTED, assignment, labeler)
        if lent.state in ("done", "skipped"):
            return False
        lent.draft = {
            **lent.draft,
            **draft,
            **({"ratings": lent.draft.get("ratings", {}) | ratings} if ratings else {}),
        }
        if lent.state == "open":
            lent.expires = time.time() + lending.minutes * 60
        return True


def give(store: Store, assignment: int, labeler: str, given: Given, guidelines: str) -> bool:
    """Take an answer; False where there is one already, which stays. An expired lease loses nothing."""
    now = time.time()
    with store.writing() as session:
        lent, item = _mine(session, _OWN, assignment, labeler)
        if lent.state in ("done", "skipped"):
            return False
        keep(session, lent, item, given, guidelines, now)
        note(
            session,
            labeler,
            "skip" if given.skipped else "answer",
            str(lent.id),
            item=item.key,
            reason=given.skipped,
        )
    return True


def keep(session: Session, lent: Assignment, item: Item, given: Given, guidelines: str, now: float) -> None:
    """Write down the answer for an assignment that has none, and count it on its item. Raises ValueError for ranks that are no order."""
    if given.ranks is not None:
        check_order(tuple(given.ranks), len(item.responses))
    if _counts(item, lent.attempt):
        item.taken -= lent.state == "open"
        item.done += given.skipped is None
        item.skips += given.skipped is not None
        if item.skips >= SKIPS and not item.done:
            item.active = False
    lent.state = "done" if given.skipped is None else "skipped"
    session.add(
        Answer(
            assignment=lent.id,
            item=item.id,
            labeler=lent.labeler,
            attempt=lent.attempt,
            ranks=None if given.ranks is None else list(given.ranks),
            ratings=list(given.ratings),
            about=given.about,
            messages=None if given.messages is None else list(given.messages),
            skipped=given.skipped,
            guidelines=guidelines,
            seconds=round(max(0.0, now - lent.begun), 3),
            active_seconds=given.active_seconds,
            submitted=now,
        )
    )


def converse(store: Store, labeler: str, lending: Lending) -> int | None:
    """The conversation that the labeler writes both sides of: the one begun, or a new one."""
    now = time.time()
    with store.writing(flush=False) as session:
        person = session.get_one(Labeler, labeler, with_for_update=True)
        if person.standing != "active" or not person.qualified:
            return None
        if (held := _held(session, labeler, "converse", "work")) is not None:
            held.expires = now + lending.minutes * 60
            return held.id
        what = {
            "round": "converse",
            "key": uuid4().hex,
            "job": "converse",
            "purpose": "work",
            "policy": "",
            "split": "train",
        }
        item = Item(**what, prompt={"messages": []}, responses=[], wanted=1, taken=1)
        session.add(item)
        session.flush()
        lent = Assignment(
            item=item.id,
            labeler=labeler,
            presented=[],
            draft={},
            begun=now,
            expires=now + lending.minutes * 60,
        )
        session.add(lent)
        session.flush()
        return lent.id


def _may(person: Labeler, purpose: Purpose) -> bool:
    """Reviewers review, anybody may try the quiz, and who passed it works."""
    if purpose == "review":
        return person.role in ("reviewer", "admin")
    return purpose == "quiz" or bool(person.qualified)


def _mine(session: Session, statement: Executable, assignment: int, labeler: str) -> Any:
    row = session.execute(statement, {"assignment": assignment, "labeler": labeler}).one_or_none()
    if row is None:
        raise NotYours("There is no such item among yours.")
    return row


def _counts(item: Item, attempt: int) -> bool:
    return item.purpose in COUNTED and attempt == 1


def _expire(session: Session, now: float) -> None:
    for lent in session.scalars(_LATE, {"now": now}):
        lent.state = "expired"
        item = session.get_one(Item, lent.item, with_for_update=True)
        if _counts(item, lent.attempt):
            item.taken -= 1
    session.flush()


def _held(session: Session, labeler: str, job: Job, purpose: Purpose) -> Assignment | None:
    """What the labeler has in hand: an open assignment, or an expired one whose item nobody else has finished or holds."""
    kinds = (purpose, "gold") if purpose == "work" else (purpose,)
    mine = (
        select(Assignment, Item).join(Item, Item.id == Assignment.item).where(Assignment.labeler == labeler)
    )
    mine = mine.where(Assignment.state.in_(("open", "expired")), Item.job == job, Item.purpose.in_(kinds))
    for lent, item in session.execute(mine.order_by(Assignment.state.desc(), Assignment.id)):
        if lent.state == "open":
            return lent
        counts = _counts(item, lent.attempt)
        if item.active and (not counts or item.done + item.taken < item.wanted):
            lent.state = "open"
            item.taken += counts
            return lent
    return None


def _choose(
    session: Session, labeler: str, job: Job, purpose: Purpose, lending: Lending
) -> tuple[Item | None, int]:
    """A new item and which attempt at it this is."""
    seen = select(Assignment.item).where(Assignment.labeler == labeler)
    free = select(Item.id).where(Item.job == job, Item.active, Item.id.not_in(seen))
    if purpose == "quiz":
        return _locked(session, free.where(Item.purpose == "quiz").order_by(Item.id)), 1
    if purpose == "work" and job == "rank":
        count = (
            session.scalar(select(func.count()).select_from(Assignment).where(Assignment.labeler == labeler))
            or 0
        )
        chance = seed_of(count, labeler, "what is mixed in") / 2**63
        if chance < lending.gold:
            if item := _locked(session, free.where(Item.purpose == "gold").order_by(Item.id)):
                return item, 1
        elif chance < lending.gold + lending.repeated and (item := _repeat(session, labeler)):
            return item, 2
        free = free.where(Item.round.in_(select(Round.id).where(Round.closed.is_(None))))
    busy = Item.done + Item.taken
    return _locked(
        session, free.where(Item.purpose == purpose, busy < Item.wanted).order_by(busy.desc(), Item.id)
    ), 1


def _locked(session: Session, query: Any) -> Item | None:
    """The first item of a query that no other transaction holds."""
    found = session.scalar(query.limit(1).with_for_update(skip_locked=True))
    return None if found is None else session.get(Item, found)


def _repeat(session: Session, labeler: str) -> Item | None:
    """An item that this labeler ranked some time ago, and once only."""
    own = (
        select(Answer.item, Answer.attempt)
        .where(Answer.labeler == labeler, Answer.ranks.is_not(None))
        .order_by(Answer.submitted)
    )
    rows = session.execute(
        own.join(Item, Item.id == Answer.item).where(Item.purpose == "work", Item.active)
    ).all()
    again = {item for item, attempt in rows if attempt > 1}
    again |= set(
        session.scalars(select(Assignment.item).where(Assignment.labeler == labeler, Assignment.attempt > 1))
    )
    return next((session.get(Item, item) for item, _ in rows[:-APART] if item not in again), None)
