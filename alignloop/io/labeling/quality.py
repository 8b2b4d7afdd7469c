"""How well labelers agree: pairwise with known orders and with each other, with themselves on repeats, and Krippendorff's α."""

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from alignloop.io.labeling.tables import Answer, Item, Labeler

Ranks = Sequence[int]


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


def agreement(known: Ranks, given: Ranks | None) -> tuple[float, int]:
    """Points and pairs: for each pair that `known` orders, 1 if `given` orders it so, ½ if it ties it; no answer gains nothing."""
    points, pairs = 0.0, 0
    for a, b in combinations(range(len(known)), 2):
        if known[a] != known[b]:
            pairs += 1
            if given is not None:
                points += 0.5 if given[a] == given[b] else float((given[a] < given[b]) == (known[a] < known[b]))
    return points, pairs


def alpha(rankings: Mapping[int, Mapping[str, Ranks]]) -> float | None:
    """Krippendorff's α of item → labeler → ranks, ordinal, a unit per response; None where nothing is shared or all is one value.

    Krippendorff, Content Analysis (2004), ch. 11: 1 is full agreement, 0 what chance gives.
    """
    shared = {item: by for item, by in rankings.items() if len(by) > 1}
    labelers = sorted({name for by in shared.values() for name in by})
    rows: list[list[float]] = [[] for _ in labelers]
    for by in shared.values():
        k = len(next(iter(by.values())))
        for row, name in zip(rows, labelers, strict=True):
            row += [float(rank) for rank in by[name]] if name in by else [float("nan")] * k
    table = np.array(rows)
    if table.size == 0 or len(np.unique(table[~np.isnan(table)])) < 2:
        return None
    import krippendorff

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(krippendorff.alpha(reliability_data=table, level_of_measurement="ordinal"))


def records(session: Session, round: str | None = None) -> list[Record]:
    """Every labeler's record, over one round (gold and quiz apart) or over all."""
    firsts: dict[int, dict[str, Ranks]] = defaultdict(dict)
    gold: dict[str, list[tuple[float, int]]] = defaultdict(list)
    again: dict[str, list[tuple[float, int]]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    skipped: dict[str, int] = defaultdict(int)
    query = select(Answer, Item.purpose, Item.known).join(Item, Item.id == Answer.item).where(Item.job == "rank")
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
            gold=_total(gold[person.id]),
            others=_total(_with_others(person.id, firsts)),
            self=_total(again[person.id]),
            alpha=alpha({item: by for item, by in firsts.items() if person.id in by}),
        )
        for person in session.scalars(select(Labeler).order_by(Labeler.id))
    ]


def round_alpha(session: Session, round: str) -> float | None:
    """α over all rankings of a round by labelers who are not excluded."""
    found: dict[int, dict[str, Ranks]] = defaultdict(dict)
    query = select(Answer.item, Answer.labeler, Answer.ranks).join(Item, Item.id == Answer.item)
    query = query.join(Labeler, Labeler.id == Answer.labeler).where(Item.round == round, Labeler.standing != "excluded")
    for item, labeler, ranks in session.execute(query.where(Answer.attempt == 1, Answer.ranks.is_not(None))):
        found[item][labeler] = ranks or ()
    return alpha(found)


def _with_others(id: str, rankings: Mapping[int, Mapping[str, Ranks]]) -> list[tuple[float, int]]:
    return [agreement(other, by[id]) for by in rankings.values() if id in by for name, other in by.items() if name != id]


def _total(parts: Sequence[tuple[float, int]]) -> tuple[float, int]:
    return sum(points for points, _ in parts), sum(pairs for _, pairs in parts)
