"""Reviews: people say of a candidate's answers whether they are better than another model's, without knowing which are whose.

A vote is a ranking of two answers; each reviewer votes once on an item, in an order of their own (queue.py). Votes are kept when a decision
has been made, and no more are asked for.
"""

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from statistics import fmean
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alignloop.labeling.database import Store, note
from alignloop.labeling.rounds import AGAIN
from alignloop.labeling.schema import Answer, Item, Labeler, Review
from alignloop.records import Prompt


@dataclass(frozen=True)
class Pair:
    """Two answers to a prompt of a held-out user: the candidate's and the other's."""

    prompt: Prompt
    mine: str
    theirs: str


@dataclass(frozen=True)
class Tally:
    """How far a review is. `outcomes` has one number for each prompt that somebody voted on, or that got one answer from both:
    the mean of its votes, 1 where the candidate's answer is better, ½ where they are the same."""

    votes: int
    wanted: int
    reviewers: int
    outcomes: list[float]


def publish(
    store: Store,
    id: str,
    candidate: str,
    other: str,
    pairs: Sequence[Pair],
    votes: int,
    told: Mapping[str, Any],
) -> None:
    """Ask for `votes` votes on each pair, once; other pairs for the same candidate begin the review anew. Earlier reviews end."""
    digest = _digest(pairs, 16)
    with store.writing() as session:
        for item in session.scalars(select(Item).where(Item.purpose == "review", Item.round != _round(id))):
            item.active = False
        plan = session.get(Review, id, with_for_update=True)
        if plan is None or (plan.digest, plan.other) != (digest, other):
            plan = plan or Review(id=id, published=time.time())
            plan.digest, plan.alike, plan.decided, plan.continued = (
                digest,
                sum(pair.mine == pair.theirs for pair in pairs),
                None,
                None,
            )
            _offer(session, id, pairs, votes)
            note(
                session, "pipeline", "publish review", candidate, items=len(pairs), votes=votes, against=other
            )
        plan.candidate, plan.other, plan.told = candidate, other, dict(told)
        session.add(plan)


def _offer(session: Session, id: str, pairs: Sequence[Pair], votes: int) -> None:
    before = {item.key: item for item in session.scalars(select(Item).where(Item.round == _round(id)))}
    for item in before.values():
        item.active = False
    for pair in pairs:
        if pair.mine == pair.theirs:
            continue
        key = f"{pair.prompt.id}-{_digest([pair], 4)}"
        if key in before:
            before[key].active = True
            continue
        what = {
            "round": _round(id),
            "key": key,
            "job": "rank",
            "purpose": "review",
            "policy": "",
            "split": "test",
            "wanted": votes,
        }
        session.add(
            Item(**what, prompt=pair.prompt.model_dump(mode="json"), responses=[pair.mine, pair.theirs])
        )


def find(session: Session, id: str) -> Review | None:
    """The review of a candidate, by the hash of its bytes."""
    return session.get(Review, id)


def newest(session: Session) -> Review | None:
    """The review that was published last."""
    return session.scalar(select(Review).order_by(Review.published.desc(), Review.id).limit(1))


def tally(session: Session, id: str) -> Tally:
    """The votes so far, of reviewers who are not excluded."""
    plan = session.get_one(Review, id)
    query = (
        select(Answer.item, Answer.labeler, Answer.ranks)
        .join(Item, Item.id == Answer.item)
        .join(Labeler, Labeler.id == Answer.labeler)
    )
    query = query.where(
        Item.round == _round(id), Answer.ranks.is_not(None), Labeler.standing != "excluded"
    ).order_by(Item.id)
    votes: dict[int, list[float]] = defaultdict(list)
    reviewers = set[str]()
    for item, labeler, ranks in session.execute(query):
        mine, theirs = ranks or (1, 1)
        votes[item].append(1.0 if mine < theirs else 0.0 if mine > theirs else 0.5)
        reviewers.add(labeler)
    wanted = (
        session.scalar(select(func.coalesce(func.sum(Item.wanted), 0)).where(Item.round == _round(id))) or 0
    )
    outcomes = [fmean(each) for each in votes.values()]
    return Tally(
        sum(map(len, votes.values())),
        int(wanted),
        len(reviewers),
        outcomes + [0.5] * plan.alike if outcomes else [],
    )


def left(session: Session, labeler: str) -> int:
    """How many pairs wait for this reviewer's vote."""
    mine = select(Answer.item).where(Answer.labeler == labeler)
    free = (
        select(func.count())
        .select_from(Item)
        .where(Item.purpose == "review", Item.active, Item.done < Item.wanted)
    )
    return session.scalar(free.where(Item.id.not_in(mine))) or 0


def close(store: Store, id: str, actor: str, words: str) -> None:
    """Remember that a decision was made: nobody is asked any more, and the pipeline goes on."""
    with store.writing() as session:
        plan = session.get(Review, id, with_for_update=True)
        if plan is None or plan.decided is not None:
            return
        plan.decided = time.time()
        for item in session.scalars(select(Item).where(Item.round == _round(id))):
            item.active = False
        note(session, actor, "decide", plan.candidate, decision=words)


def claim_decided(store: Store) -> list[str]:
    """Candidates that were decided on lately and that nobody goes on with: whoever asks first does."""
    free = Review.continued.is_(None) & (Review.decided > time.time() - AGAIN)
    with store.reading() as session:
        if not session.scalars(select(Review.id).where(free)).all():
            return []
    with store.writing() as session:
        mine = session.scalars(select(Review).where(free).with_for_update()).all()
        for each in mine:
            each.continued = time.time()
            note(session, "pages", "continue", each.candidate)
        return [each.candidate for each in mine]


def _digest(pairs: Sequence[Pair], size: int) -> str:
    parts = [part for pair in pairs for part in (pair.prompt.id, pair.mine, pair.theirs)]
    return blake2b(json.dumps(parts).encode(), digest_size=size).hexdigest()


def _round(id: str) -> str:
    return f"review {id}"
