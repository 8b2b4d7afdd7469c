"""Qualification of labelers: the quiz decides first, then administrators may pause, exclude and readmit."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from alignloop.core.labeler_agreement import Points, Ranks, agreement
from alignloop.labeling.database import LabelingDatabase, LabelingDatabaseError, log_event
from alignloop.labeling.equal_responses import first_places, once
from alignloop.labeling.schema import Assignment, Item, Labeler, LabelerStatus, Submission

VERBS = {"active": "readmit", "paused": "pause", "excluded": "exclude"}


def grade_quiz(database: LabelingDatabase, id: str, needed: float) -> float | None:
    """Decide whether a labeler is qualified, once every item of the quiz is done.

    The labeler passes if at least the share `needed` of the pairs agrees; pairs of a skipped item do not
    agree. Returns the share, or None while the quiz is unfinished.
    """
    with database.writing() as session:
        person = session.get_one(Labeler, id, with_for_update=True)
        items = session.scalars(select(Item).where(Item.purpose == "quiz", Item.active)).all()
        submitted = {
            submission.item: submission.ranks
            for submission in session.scalars(select(Submission).where(Submission.labeler == id))
        }
        if person.qualified is not None or any(item.id not in submitted for item in items):
            return person.quiz_agreement
        points = pairs = 0.0
        for item in items:
            agreed, compared = quiz_agreement(item, submitted[item.id])
            points, pairs = points + agreed, pairs + compared
        share = points / pairs if pairs else 1.0
        person.quiz_agreement, person.qualified = share, share >= needed
        log_event(session, id, "quiz", id, agreement=round(share, 4), passed=person.qualified)
        return share


@dataclass(frozen=True)
class QuizResult:
    """A labeler's ranking of a quiz item beside the right one; ranks are in the order of the responses.

    `wrong` has the pairs that do not agree, as indices of the better and of the worse response.
    """

    messages: list[dict[str, str]]
    responses: list[str]
    presented: list[int]
    ranks: list[int] | None
    known: list[int]
    why: str

    @property
    def wrong(self) -> list[tuple[int, int]]:
        ranks = self.ranks or [1] * len(self.known)
        firsts = first_places(self.responses)
        return [
            (a, b) for a in firsts for b in firsts if self.known[a] < self.known[b] and ranks[a] >= ranks[b]
        ]


def quiz_results(session: Session, id: str) -> list[QuizResult]:
    """The labeler's quiz, in the order in which it was ranked."""
    query = select(Submission, Assignment.presented, Item).join(Item, Item.id == Submission.item)
    query = query.join(Assignment, Assignment.id == Submission.assignment)
    query = query.where(Submission.labeler == id, Item.purpose == "quiz").order_by(Submission.submitted)
    return [
        QuizResult(
            messages=item.prompt["messages"],
            responses=item.responses,
            presented=presented,
            ranks=submission.ranks,
            known=item.known_ranks or [],
            why=item.why,
        )
        for submission, presented, item in session.execute(query)
    ]


def quiz_agreement(item: Item, ranks: Ranks | None) -> Points:
    """Points and pairs of a ranking of an item whose order is known; None: the item was skipped."""
    known = once(item.known_ranks or (), item.responses)
    return agreement(known, None if ranks is None else once(ranks, item.responses))


def set_status(database: LabelingDatabase, id: str, status: LabelerStatus, actor: str) -> None:
    """Pause, exclude or readmit a labeler.

    Submissions of an excluded labeler no longer count, and their items are assigned again.
    """
    with database.writing() as session:
        person = session.get(Labeler, id, with_for_update=True)
        if person is None:
            raise LabelingDatabaseError(f"labeler '{id}' does not exist; the page /admin lists the labelers")
        if person.status != status:
            _count_submissions(session, id, (person.status == "excluded") - (status == "excluded"))
            person.status = status
            log_event(session, actor, VERBS[status], id)


def _count_submissions(session: Session, id: str, sign: int) -> None:
    """Add the labeler's submissions to `done` of their items, or subtract them."""
    if sign:
        own = (
            select(Item)
            .join(Submission, Submission.item == Item.id)
            .where(Submission.labeler == id, Submission.attempt == 1)
        )
        for item in session.scalars(
            own.where(Submission.skipped.is_(None)).order_by(Item.id).with_for_update(of=Item)
        ):
            item.done += sign * (item.purpose in ("work", "review"))
    open_assignments = select(Assignment).where(Assignment.labeler == id, Assignment.state == "open")
    for assignment in session.scalars(open_assignments):
        assignment.expires = 0.0  # the next labeler gets the item
