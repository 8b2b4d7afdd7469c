"""Rounds of rankings that people are to give: published from samples, counted, closed when enough is there, and read back."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from alignloop.labeling.database import Store, StoreError, note
from alignloop.labeling.schema import Answer, Assignment, Guideline, Item, Labeler, Purpose, Round
from alignloop.records import Labeling, Prompt, Ranking, Samples

SKIPS = 2  # an item that so many labelers could not rank is asked of nobody else
AGAIN = 3600  # seconds after which a round that was gone on with and did not close is gone on with again
RESERVED = ("quiz", "gold", "review", "demonstrate", "converse")


@dataclass(frozen=True)
class Progress:
    """How far a round is: rankings wanted and done, and whether they are enough now."""

    round: str
    wanted: int
    done: int
    enough: bool
    closed: bool
    deadline: float | None

    @property
    def missing(self) -> int:
        """How many rankings are still wanted."""
        return self.wanted - self.done


def publish(
    store: Store,
    round: str,
    samples: Sequence[Samples],
    overlap: int,
    enough: float,
    deadline_hours: float | None,
) -> bool:
    """Offer samples to labelers, once; other samples under the same name begin the round anew. Returns whether anything changed."""
    if round in RESERVED:
        raise StoreError(
            f"rounds.{round}: the labeling store keeps this name for itself; call the round otherwise"
        )
    digest = blake2b("".join(each.model_dump_json() for each in samples).encode(), digest_size=16).hexdigest()
    with store.writing() as session:
        plan = session.get(Round, round, with_for_update=True) or Round(id=round, published=time.time())
        new = (plan.digest, plan.overlap) != (digest, overlap)
        if new:
            plan.digest, plan.overlap, plan.published, plan.closed, plan.continued = (
                digest,
                overlap,
                time.time(),
                None,
                None,
            )
            kept = _offer(session, round, samples, overlap)
            note(
                session,
                "pipeline",
                "publish round",
                round,
                items=len(samples),
                overlap=overlap,
                answered_before=kept,
            )
        plan.enough = enough
        plan.deadline = None if deadline_hours is None else plan.published + deadline_hours * 3600
        session.add(plan)
    return new


def _offer(session: Session, round: str, samples: Sequence[Samples], overlap: int) -> int:
    """Add items that are new, and retire those no longer there; what was ranked of unchanged items stays. Returns how many stay."""
    before = {item.key: item for item in session.scalars(select(Item).where(Item.round == round))}
    for item in before.values():
        item.active = False
    kept = 0
    for each in samples:
        prompt, responses = each.prompt.model_dump(mode="json"), list(each.responses)
        key = f"{each.id}-{blake2b(each.model_dump_json().encode(), digest_size=4).hexdigest()}"
        if item := before.get(key):
            item.active, item.wanted, kept = item.skips < SKIPS, overlap, kept + (item.done > 0)
            continue
        session.add(
            Item(
                round=round,
                key=key,
                job="rank",
                purpose="work",
                prompt=prompt,
                responses=responses,
                policy=each.policy,
                split=each.split,
                wanted=overlap,
            )
        )
    return kept


def publish_known(store: Store, purpose: Purpose, known: Iterable[Ranking]) -> None:
    """Offer rankings that are known to be right: a quiz before real work, or gold items hidden among it. Others of that purpose go."""
    with store.writing() as session:
        before = {item.key: item for item in session.scalars(select(Item).where(Item.round == purpose))}
        wanted = {each.id: each for each in known}
        for key, item in before.items():
            item.active = key in wanted
        for key, each in wanted.items():
            if key not in before:
                prompt, responses, ranks = (
                    each.prompt.model_dump(mode="json"),
                    list(each.responses),
                    list(each.ranks),
                )
                what = {
                    "round": purpose,
                    "key": key,
                    "job": "rank",
                    "purpose": purpose,
                    "policy": "",
                    "split": "train",
                    "wanted": 0,
                }
                session.add(Item(prompt=prompt, responses=responses, known=ranks, **what))


def keep_guidelines(store: Store, version: str, text: str) -> None:
    """Keep the text that answers of this version went by."""
    with store.writing() as session:
        if session.get(Guideline, version) is None:
            session.add(Guideline(version=version, text=text, since=time.time()))
            note(session, "pages", "new guidelines", version)


def progress(session: Session, round: str) -> Progress:
    """How far the round is. Raises StoreError if it was never published."""
    plan = session.get(Round, round)
    if plan is None:
        raise StoreError(
            f"round {round} was never published; run `dvc repro label@{round}`, which publishes it"
        )
    done = func.coalesce(func.sum(case((Item.done < Item.wanted, Item.done), else_=Item.wanted)), 0)
    wanted = func.coalesce(func.sum(Item.wanted), 0)
    asked, got = session.execute(
        select(wanted, done).where(
            Item.round == round, Item.purpose == "work", Item.job == "rank", Item.active
        )
    ).one()
    full = got >= asked and asked > 0
    late = (
        plan.deadline is not None and time.time() >= plan.deadline and got >= plan.enough * asked and got > 0
    )
    return Progress(
        round,
        int(asked),
        int(got),
        full or late or plan.closed is not None,
        plan.closed is not None,
        plan.deadline,
    )


def open_rounds(session: Session) -> list[Round]:
    """Rounds that wait for labelers, the oldest first."""
    return list(
        session.scalars(select(Round).where(Round.closed.is_(None)).order_by(Round.published, Round.id))
    )


def close(session: Session, round: str, actor: str) -> None:
    """Make the round's rankings final: what comes later is kept and not part of them."""
    session.execute(update(Round).where(Round.id == round, Round.closed.is_(None)).values(closed=time.time()))
    note(session, actor, "close round", round)


def rankings(session: Session, round: str) -> Iterator[Ranking]:
    """The round's rankings by people, first attempts of labelers who are not excluded, in the items' order."""
    plan = session.get_one(Round, round)
    rows = session.execute(
        select(Item, Answer, Assignment.presented)
        .join(Answer, Answer.item == Item.id)
        .join(Assignment, Assignment.id == Answer.assignment)
        .join(Labeler, Labeler.id == Answer.labeler)
        .where(
            Item.round == round,
            Item.active,
            Answer.attempt == 1,
            Answer.ranks.is_not(None),
            Labeler.standing != "excluded",
        )
        .where(Answer.submitted <= (plan.closed or time.time()))
        .order_by(Item.id, Answer.labeler)
    )
    for item, answer, presented in rows:
        yield Ranking(
            id=f"{item.key}-{answer.labeler}",
            prompt=Prompt.model_validate(item.prompt),
            responses=tuple(item.responses),
            ranks=tuple(answer.ranks or ()),
            labeler=answer.labeler,
            kind="person",
            policy=item.policy,
            round=round,
            split=item.split,
            time=datetime.fromtimestamp(answer.submitted, UTC).isoformat(timespec="seconds"),
            labeling=Labeling(
                presented=tuple(presented),
                seconds=answer.seconds,
                active_seconds=answer.active_seconds,
                guidelines=answer.guidelines,
                ratings=tuple(answer.ratings),
                about=answer.about,
            ),
        )


def rejected(session: Session) -> int:
    """How many people did not pass the quiz."""
    return session.scalar(select(func.count()).select_from(Labeler).where(Labeler.qualified.is_(False))) or 0


def all_rounds(session: Session) -> list[Round]:
    """Every round that was published, the newest first."""
    return list(session.scalars(select(Round).order_by(Round.published.desc(), Round.id)))


def claim_ready(store: Store) -> list[str]:
    """Rounds that have enough rankings and that nobody goes on with: whoever asks first does. What did not close is tried again later."""
    free = Round.continued.is_(None) | (Round.continued < time.time() - AGAIN)
    with store.reading() as session:
        waiting = select(Round).where(Round.closed.is_(None), free)
        ready = [each.id for each in session.scalars(waiting) if progress(session, each.id).enough]
    if not ready:
        return []
    with store.writing() as session:
        mine = session.scalars(select(Round).where(Round.id.in_(ready), free).with_for_update()).all()
        for each in mine:
            each.continued = time.time()
            note(session, "pages", "continue", each.id)
        return [each.id for each in mine]
