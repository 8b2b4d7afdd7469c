"""Who may work: the quiz decides at first, then administrators may pause, exclude and readmit."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from alignloop.core.labeler_agreement import agreement
from alignloop.labeling.database import Store, StoreError, note
from alignloop.labeling.schema import Answer, Assignment, Item, Labeler, Standing

VERBS = {"active": "readmit", "paused": "pause", "excluded": "exclude"}


def mark_quiz(store: Store, id: str, needed: float) -> float | None:
    """Qualify a labeler, or not, once every item of the quiz is done; a skipped item scores nothing. Returns the agreement."""
    with store.writing() as session:
        person = session.get_one(Labeler, id, with_for_update=True)
        items = session.scalars(select(Item).where(Item.purpose == "quiz", Item.active)).all()
        answers = {
            answer.item: answer.ranks
            for answer in session.scalars(select(Answer).where(Answer.labeler == id))
        }
        if person.qualified is not None or any(item.id not in answers for item in items):
            return person.score
        points = pairs = 0.0
        for item in items:
            gained, of = agreement(item.known or [], answers[item.id])
            points, pairs = points + gained, pairs + of
        score = points / pairs if pairs else 1.0
        person.score, person.qualified = score, score >= needed
        note(session, id, "quiz", id, agreement=round(score, 4), passed=person.qualified)
        return score


def stand(store: Store, id: str, standing: Standing, actor: str) -> None:
    """Pause, exclude or readmit a labeler. What is excluded counts no longer, and its items are offered again."""
    with store.writing() as session:
        person = session.get(Labeler, id, with_for_update=True)
        if person is None:
            raise StoreError(f"there is no labeler '{id}'")
        if person.standing != standing:
            _count(session, id, (person.standing == "excluded") - (standing == "excluded"))
            person.standing = standing
            note(session, actor, VERBS[standing], id)


def _count(session: Session, id: str, sign: int) -> None:
    """Add the labeler's answers to what is done of their items, or take them off."""
    if sign:
        own = (
            select(Item).join(Answer, Answer.item == Item.id).where(Answer.labeler == id, Answer.attempt == 1)
        )
        for item in session.scalars(
            own.where(Answer.skipped.is_(None)).order_by(Item.id).with_for_update(of=Item)
        ):
            item.done += sign * (item.purpose in ("work", "review"))
    held = select(Assignment).where(Assignment.labeler == id, Assignment.state == "open")
    for lent in session.scalars(held):
        lent.expires = 0.0  # the next who asks gets it
