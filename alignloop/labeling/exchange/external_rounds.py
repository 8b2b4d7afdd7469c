"""Rounds that are ranked in another tool: a round's items to carry there, and what people said of them there, kept as if said here."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from sqlalchemy import select
from sqlalchemy.orm import Session

from alignloop.data.formats.importer import Refused
from alignloop.labeling.assignments import Given, keep
from alignloop.labeling.database import Store, note
from alignloop.labeling.exchange.items import ExchangeError, Offer, Said, spoken
from alignloop.labeling.schema import Answer, Assignment, Item, Labeler, Round
from alignloop.seeds import seed_of

TOLD = 12  # refusals that one message names


@dataclass
class Brought:
    """What came back: rankings and skips that are new, those that were there already, and what was refused."""

    rankings: int = 0
    skips: int = 0
    known: int = 0
    labelers: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)


def offers(session: Session, round: str, guidelines: str, with_answers: bool = False) -> list[Offer]:
    """A round's items, their responses shuffled; with what labelers said of them so far, if that is wanted."""
    if session.get(Round, round) is None:
        raise ExchangeError(
            f"round {round} was never published; run `dvc repro label@{round}`, which publishes it"
        )
    made = []
    for item in session.scalars(select(Item).where(Item.round == round, Item.active).order_by(Item.id)):
        places = list(range(len(item.responses)))
        Random(seed_of(0, item.key, "elsewhere")).shuffle(places)
        said = _said(session, item) if with_answers else ()
        made.append(
            Offer(
                round,
                item.key,
                spoken(item.prompt["messages"]),
                tuple(item.responses),
                tuple(places),
                guidelines,
                said,
            )
        )
    return made


def bring(
    store: Store, round: str, found: Iterable[tuple[int, Offer | Refused]], file: str, leave_out: bool = False
) -> Brought:
    """Keep what came back of a round, each answer once. What cannot be kept is refused, and then nothing is kept unless `leave_out`."""
    brought = Brought()
    with store.writing() as session:
        plan = session.get(Round, round, with_for_update=True)
        if plan is None or plan.closed is not None:
            state = "was never published" if plan is None else "is closed: its rankings are final"
            raise ExchangeError(f"round {round} {state}; nothing of {file} was kept")
        items = {
            item.key: item
            for item in session.scalars(select(Item).where(Item.round == round).with_for_update())
        }
        for line, offer in found:
            for words in (
                [offer.reason]
                if isinstance(offer, Refused)
                else _bring(session, round, items, offer, brought)
            ):
                brought.refused.append(f"{file}:{line}: {words}")
        if brought.refused and not leave_out:
            more = f"\n… and {len(brought.refused) - TOLD} more" if len(brought.refused) > TOLD else ""
            told = "\n".join(brought.refused[:TOLD])
            raise ExchangeError(
                f"{told}{more}\nnothing was kept; correct these in the other tool and export again, or go on without them: --leave-out"
            )
        counts = {
            "rankings": brought.rankings,
            "skips": brought.skips,
            "known": brought.known,
            "refused": len(brought.refused),
        }
        note(
            session,
            "command line",
            "bring from elsewhere",
            round,
            file=file,
            labelers=sorted(brought.labelers),
            **counts,
        )
    return brought


def _bring(session: Session, round: str, items: dict[str, Item], offer: Offer, brought: Brought) -> list[str]:
    item = items.get(offer.key)
    if offer.round != round or item is None or not item.active:
        return [
            f"an item of round {offer.round}, '{offer.key}', is none of those that round {round} asks for now"
        ]
    if tuple(item.responses) != offer.responses:
        return [f"the answers of '{offer.key}' are not those that went out"]
    refused = (_keep(session, item, offer, said, brought) for said in offer.said)
    return [words for words in refused if words]


def _keep(session: Session, item: Item, offer: Offer, said: Said, brought: Brought) -> str | None:
    now = time.time()
    person = session.get(Labeler, said.labeler)
    if person is None:
        session.add(Labeler(id=said.labeler, role="labeler", created=now))
        session.flush()
    elif person.standing == "excluded":
        return f"{said.labeler} is excluded: readmit them, or leave this out"
    mine = select(Assignment).where(
        Assignment.item == item.id, Assignment.labeler == said.labeler, Assignment.attempt == 1
    )
    lent = session.scalar(mine.with_for_update())
    before = session.get(Answer, lent.id) if lent else None
    if before is not None:
        if (tuple(before.ranks) if before.ranks else None) != said.ranks:
            return f"{said.labeler} answered '{item.key}' before, and otherwise: an answer is given once"
        brought.known += 1
        return None
    if lent is None:
        lent = Assignment(
            item=item.id,
            labeler=said.labeler,
            state="expired",
            draft={},
            presented=[],
            begun=0.0,
            expires=now,
        )
        session.add(lent)
    lent.presented, lent.begun = list(offer.presented), now - said.seconds
    session.flush()
    keep(session, lent, item, Given(ranks=said.ranks, skipped=said.skipped), offer.guidelines, now)
    note(session, "command line", "import answer", str(lent.id), item=item.key, labeler=said.labeler)
    brought.rankings += said.ranks is not None
    brought.skips += said.ranks is None
    brought.labelers.add(said.labeler)
    return None


def _said(session: Session, item: Item) -> tuple[Said, ...]:
    rows: Sequence[Answer] = session.scalars(
        select(Answer)
        .join(Labeler, Labeler.id == Answer.labeler)
        .where(Answer.item == item.id, Answer.attempt == 1, Labeler.standing != "excluded")
        .order_by(Answer.labeler)
    ).all()
    return tuple(
        Said(row.labeler, tuple(row.ranks) if row.ranks else None, row.seconds, row.skipped) for row in rows
    )
