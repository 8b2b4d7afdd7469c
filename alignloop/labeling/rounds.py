"""Rounds of rankings by people: publishing samples, counting, closing, and reading the rankings back."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from alignloop.labeling.database import LabelingDatabase, LabelingDatabaseError, log_event
from alignloop.labeling.equal_responses import with_choice
from alignloop.labeling.known_rankings import KnownRanking
from alignloop.labeling.schema import Assignment, Guideline, Item, Labeler, Purpose, Round, Submission
from alignloop.records import Labeling, Prompt, Ranking, Samples
from alignloop.tool_turns import Turns

MAX_SKIPS = 2  # an item that so many labelers skipped is not assigned again
RETRY_SECONDS = 3600  # after this time the pipeline is started again for a round that did not close
RESERVED = ("quiz", "gold", "review", "demonstrate", "converse")


@dataclass(frozen=True)
class RoundProgress:
    """Progress of a round: rankings wanted and done, and whether they are enough to continue."""

    round: str
    wanted: int
    done: int
    enough: bool
    closed: bool
    deadline: float | None

    @property
    def missing(self) -> int:
        """Number of rankings still wanted."""
        return self.wanted - self.done


def publish(
    database: LabelingDatabase,
    round: str,
    samples: Sequence[Samples],
    *,
    overlap: int,
    enough: float,
    deadline_hours: float | None,
) -> bool:
    """Publish samples that have two distinct responses or more. Returns whether anything changed.

    Publishing the same samples again changes nothing; other samples under the same name restart the round.
    """
    if round in RESERVED:
        raise LabelingDatabaseError(
            f"rounds.{round}: the labeling database reserves this name; rename the round"
        )
    digest = blake2b("".join(each.model_dump_json() for each in samples).encode(), digest_size=16).hexdigest()
    with database.writing() as session:
        plan = session.get(Round, round, with_for_update=True) or Round(id=round, published=time.time())
        new = (plan.digest, plan.overlap) != (digest, overlap)
        if new:
            plan.digest, plan.overlap = digest, overlap
            plan.published = time.time()
            plan.closed = plan.continued = None
            kept = _replace_items(session, round, samples, overlap)
            log_event(
                session,
                "pipeline",
                "publish round",
                round,
                items=len(with_choice(samples)),
                overlap=overlap,
                answered_before=kept,
            )
        plan.enough = enough
        plan.deadline = None if deadline_hours is None else plan.published + deadline_hours * 3600
        session.add(plan)
    return new


def _replace_items(session: Session, round: str, samples: Sequence[Samples], overlap: int) -> int:
    """Add new items and deactivate those that are gone; unchanged items keep their rankings.

    Returns the number of unchanged items that have a ranking.
    """
    before = {item.key: item for item in session.scalars(select(Item).where(Item.round == round))}
    for item in before.values():
        item.active = False
    of_round = Submission.item.in_(select(Item.id).where(Item.round == round))
    session.execute(update(Submission).where(of_round).values(late=False))  # the round is open again
    kept = 0
    for each in with_choice(samples):
        prompt, responses = each.prompt.model_dump(mode="json"), list(each.responses)
        key = f"{each.id}-{blake2b(each.model_dump_json().encode(), digest_size=4).hexdigest()}"
        if item := before.get(key):
            item.active, item.wanted = item.skips < MAX_SKIPS, overlap
            kept += item.done > 0
            continue
        session.add(
            Item(
                round=round,
                key=key,
                job="rank",
                purpose="work",
                prompt=prompt,
                responses=responses,
                turns=stored_turns(each.turns),
                policy=each.policy,
                split=each.split,
                wanted=overlap,
            )
        )
    return kept


def stored_turns(turns: Sequence[Turns | None] | None) -> list[Any] | None:
    """The turns of each response as an item has them; None where none may have called a tool."""
    if turns is None or all(each is None for each in turns):
        return None
    return [[turn.model_dump() for turn in each or ()] for each in turns]


def publish_known_rankings(database: LabelingDatabase, purpose: Purpose, known: Iterable[Ranking]) -> None:
    """Publish rankings whose order is known: the qualification quiz, or gold items mixed into the work.

    Earlier items of the same purpose that are not in `known` are deactivated. A corrected order, or a
    corrected reason, takes the place of the earlier one.
    """
    with database.writing() as session:
        before = {item.key: item for item in session.scalars(select(Item).where(Item.round == purpose))}
        wanted = {each.id: each for each in known}
        for key, item in before.items():
            item.active = key in wanted
        for key, each in wanted.items():
            why = each.why if isinstance(each, KnownRanking) else ""
            if key in before:
                if before[key].responses == list(each.responses):
                    before[key].known_ranks, before[key].why = list(each.ranks), why
            else:
                content = {"prompt": each.prompt.model_dump(mode="json"), "responses": list(each.responses)}
                columns = {
                    "round": purpose,
                    "key": key,
                    "job": "rank",
                    "purpose": purpose,
                    "policy": "",
                    "split": "train",
                    "wanted": 0,
                }
                session.add(Item(**content, known_ranks=list(each.ranks), why=why, **columns))


def record_guidelines(database: LabelingDatabase, version: str, text: str) -> None:
    """Save the text of a version of the guidelines, so that submissions can refer to it."""
    with database.writing() as session:
        if session.get(Guideline, version) is None:
            session.add(Guideline(version=version, text=text, since=time.time()))
            log_event(session, "pages", "new guidelines", version)


def progress(session: Session, round: str) -> RoundProgress:
    """Progress of the round. Raises LabelingDatabaseError if it was never published."""
    plan = session.get(Round, round)
    if plan is None:
        raise LabelingDatabaseError(
            f"round {round} was never published; run `dvc repro label@{round}`, which publishes it"
        )
    done = func.coalesce(func.sum(case((Item.done < Item.wanted, Item.done), else_=Item.wanted)), 0)
    wanted = func.coalesce(func.sum(Item.wanted), 0)
    total, ranked = session.execute(
        select(wanted, done).where(
            Item.round == round, Item.purpose == "work", Item.job == "rank", Item.active
        )
    ).one()
    is_full = ranked >= total and total > 0
    is_past_deadline = plan.deadline is not None and time.time() >= plan.deadline
    is_enough = is_past_deadline and ranked >= plan.enough * total and ranked > 0
    return RoundProgress(
        round=round,
        wanted=int(total),
        done=int(ranked),
        enough=is_full or is_enough or plan.closed is not None,
        closed=plan.closed is not None,
        deadline=plan.deadline,
    )


def open_rounds(session: Session) -> list[Round]:
    """Rounds that are not closed, the oldest first."""
    return list(
        session.scalars(select(Round).where(Round.closed.is_(None)).order_by(Round.published, Round.id))
    )


def close(session: Session, round: str, actor: str) -> None:
    """Make the round's rankings final: later submissions are saved but not part of them."""
    session.execute(update(Round).where(Round.id == round, Round.closed.is_(None)).values(closed=time.time()))
    log_event(session, actor, "close round", round)


def rankings(session: Session, round: str) -> Iterator[Ranking]:
    """The round's rankings in the items' order: first attempts of labelers who are not excluded.

    A submission belongs to the round if its transaction came before the one that closed it, whatever the
    clocks of the servers said.
    """
    session.get_one(Round, round)
    rows = session.execute(
        select(Item, Submission, Assignment.presented)
        .join(Submission, Submission.item == Item.id)
        .join(Assignment, Assignment.id == Submission.assignment)
        .join(Labeler, Labeler.id == Submission.labeler)
        .where(
            Item.round == round,
            Item.active,
            Submission.attempt == 1,
            Submission.ranks.is_not(None),
            Labeler.status != "excluded",
        )
        .where(Submission.late.is_(False))
        .order_by(Item.id, Submission.labeler)
    )
    for item, submission, presented in rows:
        yield Ranking(
            id=f"{item.key}-{submission.labeler}",
            prompt=Prompt.model_validate(item.prompt),
            responses=tuple(item.responses),
            ranks=tuple(submission.ranks or ()),
            labeler=submission.labeler,
            kind="person",
            policy=item.policy,
            round=round,
            split=item.split,
            time=datetime.fromtimestamp(submission.submitted, UTC).isoformat(timespec="seconds"),
            labeling=Labeling(
                presented=tuple(presented),
                seconds=submission.seconds,
                active_seconds=submission.active_seconds,
                guidelines=submission.guidelines,
                ratings=tuple(submission.ratings),
                about=submission.about,
            ),
        )


def count_rejected_labelers(session: Session) -> int:
    """Number of labelers who did not pass the qualification quiz."""
    return session.scalar(select(func.count()).select_from(Labeler).where(Labeler.qualified.is_(False))) or 0


def all_rounds(session: Session) -> list[Round]:
    """Every published round, the newest first."""
    return list(session.scalars(select(Round).order_by(Round.published.desc(), Round.id)))


def claim_complete(database: LabelingDatabase) -> list[str]:
    """Claim the rounds that have enough rankings, so that one process continues each.

    A claimed round that does not close within RETRY_SECONDS can be claimed again.
    """
    unclaimed = Round.continued.is_(None) | (Round.continued < time.time() - RETRY_SECONDS)
    with database.reading() as session:
        waiting = select(Round).where(Round.closed.is_(None), unclaimed)
        ready = [each.id for each in session.scalars(waiting) if progress(session, each.id).enough]
    if not ready:
        return []
    with database.writing() as session:
        claimed = session.scalars(select(Round).where(Round.id.in_(ready), unclaimed).with_for_update()).all()
        for each in claimed:
            each.continued = time.time()
            log_event(session, "pages", "continue", each.id)
        return [each.id for each in claimed]
