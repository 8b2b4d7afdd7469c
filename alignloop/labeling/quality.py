"""Labeler agreement: pairwise with gold items, other labelers and their own repeats, and Krippendorff's α.

A gold item is one whose order is known (ground truth). Equal responses count once.
"""

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from sqlalchemy import select
from sqlalchemy.orm import Session

from alignloop.core.labeler_agreement import Ranks, agreement, alpha, total, with_others
from alignloop.labeling.equal_responses import once
from alignloop.labeling.schema import Item, Labeler, Submission


@dataclass(frozen=True)
class LabelerQuality:
    """One labeler's work and agreement.

    An agreement is (points, pairs): the pairs that agree, ties counting half, and all pairs. `alpha` is
    with all others on shared items; None if no item is shared.
    """

    id: str
    role: str
    status: str
    qualified: bool | None
    quiz_agreement: float | None
    done: int
    skipped: int
    median_seconds: float | None
    gold_agreement: tuple[float, int]
    others_agreement: tuple[float, int]
    self_agreement: tuple[float, int]
    alpha: float | None


def labeler_quality(session: Session, round: str | None = None) -> list[LabelerQuality]:
    """Every labeler's quality over one round (gold items always count) or over all rounds."""
    firsts: dict[int, dict[str, Ranks]] = defaultdict(dict)
    gold: dict[str, list[tuple[float, int]]] = defaultdict(list)
    again: dict[str, list[tuple[float, int]]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    skipped: dict[str, int] = defaultdict(int)
    query = (
        select(Submission, Item.purpose, Item.known_ranks, Item.responses)
        .join(Item, Item.id == Submission.item)
        .where(Item.job == "rank")
    )
    if round:
        query = query.where((Item.round == round) | (Item.purpose == "gold"))
    for submission, purpose, known, responses in session.execute(
        query.order_by(Submission.attempt, Submission.submitted)
    ):
        if submission.ranks is None:
            skipped[submission.labeler] += purpose == "work"
            continue
        ranks = once(submission.ranks, responses)
        if purpose == "gold":
            gold[submission.labeler].append(agreement(once(known or (), responses), ranks))
        elif purpose == "work" and submission.attempt > 1:
            again[submission.labeler].append(
                agreement(firsts[submission.item].get(submission.labeler, ()), ranks)
            )
        elif purpose == "work":
            firsts[submission.item][submission.labeler] = ranks
            seconds[submission.labeler].append(submission.active_seconds or submission.seconds)
    return [
        LabelerQuality(
            id=person.id,
            role=person.role,
            status=person.status,
            qualified=person.qualified,
            quiz_agreement=person.quiz_agreement,
            done=len(seconds[person.id]),
            skipped=skipped[person.id],
            median_seconds=median(seconds[person.id]) if seconds[person.id] else None,
            gold_agreement=total(gold[person.id]),
            others_agreement=total(with_others(person.id, by) for by in firsts.values() if person.id in by),
            self_agreement=total(again[person.id]),
            alpha=alpha({item: by for item, by in firsts.items() if person.id in by}),
        )
        for person in session.scalars(select(Labeler).order_by(Labeler.id))
    ]


def round_alpha(session: Session, round: str) -> float | None:
    """Krippendorff's α (ordinal) over a round's rankings by labelers who are not excluded."""
    rankings: dict[int, dict[str, Ranks]] = defaultdict(dict)
    query = select(Submission.item, Submission.labeler, Submission.ranks, Item.responses).join(
        Item, Item.id == Submission.item
    )
    query = query.join(Labeler, Labeler.id == Submission.labeler).where(
        Item.round == round, Labeler.status != "excluded"
    )
    for item, labeler, ranks, responses in session.execute(
        query.where(Submission.attempt == 1, Submission.ranks.is_not(None))
    ):
        rankings[item][labeler] = once(ranks or (), responses)
    return alpha(rankings)
