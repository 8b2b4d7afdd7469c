"""How well labelers agree: pairwise with known orders and with each other, with themselves on repeats, and Krippendorff's α."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from sqlalchemy import select
from sqlalchemy.orm import Session

from alignloop.core.labeler_agreement import Ranks, agreement, alpha, total, with_others
from alignloop.labeling.schema import Answer, Item, Labeler


@dataclass(frozen=True)
class Record:
    """One labeler's work. Agreements are (points, pairs); `alpha` is with all others on shared items, None where none is shared."""

    id: str
    role: str
    standing: str
    qualified: bool | None
    score: float | None
    done: int
    skipped: int
    seconds: float | None
    gold: tuple[float, int]
    others: tuple[float, int]
    self: tuple[float, int]
    alpha: float | None


def records(session: Session, round: str | None = None) -> list[Record]:
    """Every labeler's record, over one round (gold and quiz apart) or over all."""
    firsts: dict[int, dict[str, Ranks]] = defaultdict(dict)
    gold: dict[str, list[tuple[float, int]]] = defaultdict(list)
    again: dict[str, list[tuple[float, int]]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    skipped: dict[str, int] = defaultdict(int)
    query = (
        select(Answer, Item.purpose, Item.known).join(Item, Item.id == Answer.item).where(Item.job == "rank")
    )
    if round:
        query = query.where((Item.round == round) | (Item.purpose == "gold"))
    for answer, purpose, known in session.execute(query.order_by(Answer.attempt, Answer.submitted)):
        if answer.ranks is None:
            skipped[answer.labeler] += purpose == "work"
        elif purpose == "gold":
            gold[answer.labeler].append(agreement(known or (), answer.ranks))
        elif purpose == "work" and answer.attempt > 1:
            again[answer.labeler].append(agreement(firsts[answer.item].get(answer.labeler, ()), answer.ranks))
        elif purpose == "work":
            firsts[answer.item][answer.labeler] = answer.ranks
            seconds[answer.labeler].append(answer.active_seconds or answer.seconds)
    return [
        Record(
            id=person.id,
            role=person.role,
            standing=person.standing,
            qualified=person.qualified,
            score=person.score,
            done=len(seconds[person.id]),
            skipped=skipped[person.id],
            seconds=median(seconds[person.id]) if seconds[person.id] else None,
            gold=total(gold[person.id]),
            others=total(with_others(person.id, by) for by in firsts.values() if person.id in by),
            self=total(again[person.id]),
            alpha=alpha({item: by for item, by in firsts.items() if person.id in by}),
        )
        for person in session.scalars(select(Labeler).order_by(Labeler.id))
    ]


def round_alpha(session: Session, round: str) -> float | None:
    """α over all rankings of a round by labelers who are not excluded."""
    found: dict[int, dict[str, Ranks]] = defaultdict(dict)
    query = select(Answer.item, Answer.labeler, Answer.ranks).join(Item, Item.id == Answer.item)
    query = query.join(Labeler, Labeler.id == Answer.labeler).where(
        Item.round == round, Labeler.standing != "excluded"
    )
    for item, labeler, ranks in session.execute(query.where(Answer.attempt == 1, Answer.ranks.is_not(None))):
        found[item][labeler] = ranks or ()
    return alpha(found)
