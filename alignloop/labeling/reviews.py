"""Reviews: blind comparisons of a candidate's responses with another model's, and the tally of the votes.

A vote is a ranking of two responses. Each reviewer votes once on an item, in a presentation order of
their own (assignments.py). After the decision the votes are kept and no more are collected.
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

from alignloop.labeling.database import LabelingDatabase, log_event
from alignloop.labeling.rounds import RETRY_SECONDS, stored_turns
from alignloop.labeling.schema import Item, Labeler, Review, Submission
from alignloop.records import Prompt
from alignloop.tool_turns import RolloutTurn, Turns


@dataclass(frozen=True)
class Pair:
    """Two responses to a prompt of a held-out user: the candidate's and the other model's.

    `turns` are those of each where they may have called tools.
    """

    prompt: Prompt
    candidate: str
    other: str
    turns: tuple[Turns | None, Turns | None] = (None, None)


@dataclass(frozen=True)
class Tally:
    """Votes of a review so far.

    `outcomes` has one number for each prompt with a vote: the mean of its votes, each 1 if the candidate's
    response is better, ½ for a tie, 0 if it is worse; and ½ for each prompt with two identical responses, of
    which there are `identical`.
    """

    votes: int
    wanted: int
    reviewers: int
    outcomes: list[float]
    identical: int = 0


@dataclass(frozen=True)
class VotedPair:
    """A pair with its votes: for the candidate's response, for the other, and for neither."""

    pair: Pair
    candidate: int
    other: int
    same: int

    @property
    def outcome(self) -> float:
        """The mean of the votes: 1 if all prefer the candidate's response, 0 if all prefer the other."""
        return (self.candidate + self.same / 2) / (self.candidate + self.other + self.same)


def publish(
    database: LabelingDatabase,
    id: str,
    *,
    candidate: str,
    other: str,
    pairs: Sequence[Pair],
    votes: int,
    report: Mapping[str, Any],
) -> None:
    """Publish pairs for review, each to get `votes` votes; earlier reviews end.

    Publishing the same pairs again keeps their votes; other pairs for the same candidate restart the review.
    """
    digest = _digest(pairs, 16)
    with database.writing() as session:
        for item in session.scalars(select(Item).where(Item.purpose == "review", Item.round != _round(id))):
            item.active = False
        plan = session.get(Review, id, with_for_update=True)
        if plan is None or (plan.digest, plan.other) != (digest, other):
            plan = plan or Review(id=id, published=time.time())
            plan.digest = digest
            plan.identical = sum(pair.candidate == pair.other for pair in pairs)
            plan.decided = plan.continued = None
            _replace_items(session, id, pairs, votes)
            log_event(
                session, "pipeline", "publish review", candidate, items=len(pairs), votes=votes, against=other
            )
        plan.candidate, plan.other = candidate, other
        plan.report = dict(report)
        session.add(plan)


def _replace_items(session: Session, id: str, pairs: Sequence[Pair], votes: int) -> None:
    before = {item.key: item for item in session.scalars(select(Item).where(Item.round == _round(id)))}
    for item in before.values():
        item.active = False
    for pair in pairs:
        if pair.candidate == pair.other:
            continue
        key = f"{pair.prompt.id}-{_digest([pair], 4)}"
        if key in before:
            before[key].active = True
            continue
        columns = {
            "round": _round(id),
            "key": key,
            "job": "rank",
            "purpose": "review",
            "policy": "",
            "split": "test",
            "wanted": votes,
        }
        responses, turns = [pair.candidate, pair.other], stored_turns(pair.turns)
        prompt = pair.prompt.model_dump(mode="json")
        session.add(Item(**columns, prompt=prompt, responses=responses, turns=turns))


def find(session: Session, id: str) -> Review | None:
    """The review of a candidate, identified by the hash of its bytes."""
    return session.get(Review, id)


def newest(session: Session) -> Review | None:
    """The most recently published review."""
    return session.scalar(select(Review).order_by(Review.published.desc(), Review.id).limit(1))


def tally(session: Session, id: str) -> Tally:
    """The votes so far by reviewers who are not excluded."""
    plan = session.get_one(Review, id)
    votes: dict[int, list[float]] = defaultdict(list)
    reviewers = set[str]()
    for submission, _ in _votes(session, id):
        candidate, other = submission.ranks or (1, 1)
        votes[submission.item].append((1 + (candidate < other) - (candidate > other)) / 2)
        reviewers.add(submission.labeler)
    wanted = (
        session.scalar(select(func.coalesce(func.sum(Item.wanted), 0)).where(Item.round == _round(id))) or 0
    )
    outcomes = [fmean(each) for each in votes.values()]
    return Tally(
        votes=sum(map(len, votes.values())),
        wanted=int(wanted),
        reviewers=len(reviewers),
        outcomes=outcomes + [0.5] * plan.identical if outcomes else [],
        identical=plan.identical,
    )


def voted_pairs(session: Session, id: str) -> list[VotedPair]:
    """The pairs that have votes, in the order of publication, by reviewers who are not excluded."""
    counts: dict[int, list[int]] = {}
    items: dict[int, Item] = {}
    for submission, item in _votes(session, id):
        candidate, other = submission.ranks or (1, 1)
        count = counts.setdefault(item.id, [0, 0, 0])
        count[2 if candidate == other else int(candidate > other)] += 1
        items[item.id] = item
    return [VotedPair(_pair(items[key]), *count) for key, count in counts.items()]


def _pair(item: Item) -> Pair:
    """The pair of an item."""
    candidate, other = item.responses
    turns = [tuple(RolloutTurn.model_validate(turn) for turn in each) for each in item.turns or ([], [])]
    return Pair(Prompt.model_validate(item.prompt), candidate, other, (turns[0] or None, turns[1] or None))


def _votes(session: Session, id: str) -> list[tuple[Submission, Item]]:
    """The submissions of a review with their items, by reviewers who are not excluded."""
    query = (
        select(Submission, Item)
        .join(Item, Item.id == Submission.item)
        .join(Labeler, Labeler.id == Submission.labeler)
        .where(Item.round == _round(id), Submission.ranks.is_not(None), Labeler.status != "excluded")
        .order_by(Item.id)
    )
    return [(submission, item) for submission, item in session.execute(query)]


def count_remaining(session: Session, labeler: str) -> int:
    """Number of pairs that still need this reviewer's vote."""
    own = select(Submission.item).where(Submission.labeler == labeler)
    free = (
        select(func.count())
        .select_from(Item)
        .where(Item.purpose == "review", Item.active, Item.done < Item.wanted)
    )
    return session.scalar(free.where(Item.id.not_in(own))) or 0


def close(database: LabelingDatabase, id: str, actor: str, decision: str) -> None:
    """Record that a decision was made: no more votes are collected, and the pipeline can continue."""
    with database.writing() as session:
        plan = session.get(Review, id, with_for_update=True)
        if plan is None or plan.decided is not None:
            return
        plan.decided = time.time()
        for item in session.scalars(select(Item).where(Item.round == _round(id))):
            item.active = False
        log_event(session, actor, "decide", plan.candidate, decision=decision)


def claim_decided(database: LabelingDatabase) -> list[str]:
    """Claim the candidates with a recent decision, so that one process continues the pipeline for each."""
    unclaimed = Review.continued.is_(None) & (Review.decided > time.time() - RETRY_SECONDS)
    with database.reading() as session:
        if not session.scalars(select(Review.id).where(unclaimed)).all():
            return []
    with database.writing() as session:
        claimed = session.scalars(select(Review).where(unclaimed).with_for_update()).all()
        for each in claimed:
            each.continued = time.time()
            log_event(session, "pages", "continue", each.candidate)
        return [each.candidate for each in claimed]


def _digest(pairs: Sequence[Pair], size: int) -> str:
    parts: list[Any] = [part for pair in pairs for part in (pair.prompt.id, pair.candidate, pair.other)]
    parts += [turns for pair in pairs if (turns := stored_turns(pair.turns))]
    return blake2b(json.dumps(parts).encode(), digest_size=size).hexdigest()


def _round(id: str) -> str:
    return f"review {id}"
