"""Rounds ranked in another labeling tool: export of items and import of the rankings."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from sqlalchemy import select
from sqlalchemy.orm import Session

from alignloop.data.formats.importer import Refused
from alignloop.labeling.assignments import SubmissionContent, record_submission
from alignloop.labeling.database import LabelingDatabase, log_event
from alignloop.labeling.equal_responses import copies, once, spread, tie_copies
from alignloop.labeling.exchange.items import ExchangeError, ExchangeItem, LabelerRanking, conversation_text
from alignloop.labeling.schema import Assignment, Item, Labeler, Round, Submission
from alignloop.seeds import seed_of

MAX_LISTED = 12  # refused rankings that one message lists


@dataclass
class ImportResult:
    """Counts of an import: new rankings and skips, those imported before (`known`), and what was refused.

    `tied` counts the new rankings in which equal responses had different ranks: they tie at the best of them.
    """

    rankings: int = 0
    skips: int = 0
    known: int = 0
    tied: int = 0
    labelers: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)


def round_items(
    session: Session, round: str, guidelines: str, with_rankings: bool = False, equal_once: bool = True
) -> list[ExchangeItem]:
    """A round's items with their responses shuffled, and on request with the rankings so far.

    With `equal_once`, equal responses to a prompt are one response of its item.
    """
    if session.get(Round, round) is None:
        raise ExchangeError(
            f"round {round} was never published; run `dvc repro label@{round}`, which publishes it"
        )
    items = []
    for item in session.scalars(select(Item).where(Item.round == round, Item.active).order_by(Item.id)):
        rankings = _rankings(session, item) if with_rankings else ()
        responses = list(item.responses)
        if equal_once:
            rankings = tuple(_once(ranking, responses) for ranking in rankings)
            responses = once(responses, responses)
        places = list(range(len(responses)))
        Random(seed_of(0, item.key, "elsewhere")).shuffle(places)
        items.append(
            ExchangeItem(
                round=round,
                key=item.key,
                prompt=conversation_text(item.prompt["messages"]),
                responses=tuple(responses),
                presented=tuple(places),
                guidelines=guidelines,
                rankings=rankings,
            )
        )
    return items


def _once(ranking: LabelerRanking, responses: Sequence[str]) -> LabelerRanking:
    return ranking if ranking.ranks is None else replace(ranking, ranks=tuple(once(ranking.ranks, responses)))


def import_rankings(
    database: LabelingDatabase,
    round: str,
    records: Iterable[tuple[int, ExchangeItem | Refused]],
    file: str,
    leave_out: bool = False,
) -> ImportResult:
    """Save the rankings of a round that were made in another tool, each once.

    `records` are the items of `file` with their line numbers. If a ranking is refused, nothing is saved and
    ExchangeError lists the refusals; with `leave_out` the others are saved.
    """
    result = ImportResult()
    with database.writing() as session:
        plan = session.get(Round, round, with_for_update=True)
        if plan is None or plan.closed is not None:
            state = "was never published" if plan is None else "is closed: its rankings are final"
            raise ExchangeError(f"round {round} {state}; nothing of {file} was saved")
        items = {
            item.key: item
            for item in session.scalars(select(Item).where(Item.round == round).with_for_update())
        }
        for line, record in records:
            if isinstance(record, Refused):
                reasons = [record.reason]
            else:
                reasons = _import_item(session, round, items, record, result)
            result.refused += [f"{file}:{line}: {reason}" for reason in reasons]
        if result.refused and not leave_out:
            listed = result.refused[:MAX_LISTED]
            if len(result.refused) > MAX_LISTED:
                listed.append(f"… and {len(result.refused) - MAX_LISTED} more")
            raise ExchangeError(
                "\n".join(listed) + "\n"
                "nothing was saved; correct these in the other tool and export again, "
                "or import the others only: --leave-out"
            )
        counts = {
            "rankings": result.rankings,
            "skips": result.skips,
            "known": result.known,
            "refused": len(result.refused),
        }
        labelers = sorted(result.labelers)
        log_event(session, "command line", "import round", round, file=file, labelers=labelers, **counts)
    return result


def _import_item(
    session: Session, round: str, items: dict[str, Item], record: ExchangeItem, result: ImportResult
) -> list[str]:
    """Save the rankings of one item; returns the reasons of those that are refused."""
    item = items.get(record.key)
    if record.round != round or item is None or not item.active:
        return [
            f"item '{record.key}' of round {record.round} is not among the current items of round {round}"
        ]
    if record.responses == tuple(once(item.responses, item.responses)):
        record = _with_copies(record, item.responses)
    if tuple(item.responses) != record.responses:
        return [f"the responses of '{record.key}' differ from those that were exported"]
    reasons = [_import_ranking(session, item, record, ranking, result) for ranking in record.rankings]
    return [reason for reason in reasons if reason]


def _with_copies(record: ExchangeItem, responses: Sequence[str]) -> ExchangeItem:
    """The record of an item whose equal responses were one response, with all of them."""
    groups = copies(responses)
    return replace(
        record,
        responses=tuple(responses),
        presented=tuple(place for shown in record.presented for place in groups[shown]),
        rankings=tuple(
            ranking
            if ranking.ranks is None
            else replace(ranking, ranks=tuple(spread(ranking.ranks, responses)))
            for ranking in record.rankings
        ),
    )


def _import_ranking(
    session: Session, item: Item, record: ExchangeItem, ranking: LabelerRanking, result: ImportResult
) -> str | None:
    """Save one ranking as if it had been submitted here; returns the reason if it is refused."""
    now = time.time()
    person = session.get(Labeler, ranking.labeler)
    if person is None:
        session.add(Labeler(id=ranking.labeler, role="labeler", created=now))
        session.flush()
    elif person.status == "excluded":
        return f"{ranking.labeler} is excluded: readmit them, or leave this out"
    own = select(Assignment).where(
        Assignment.item == item.id, Assignment.labeler == ranking.labeler, Assignment.attempt == 1
    )
    assignment = session.scalar(own.with_for_update())
    before = session.get(Submission, assignment.id) if assignment else None
    ranks = None if ranking.ranks is None else tie_copies(ranking.ranks, item.responses)
    if before is not None:
        if before.ranks != ranks:
            return f"{ranking.labeler} already submitted another ranking of '{item.key}', which counts"
        result.known += 1
        return None
    if assignment is None:
        assignment = Assignment(
            item=item.id,
            labeler=ranking.labeler,
            state="expired",
            draft={},
            presented=[],
            started=0.0,
            expires=now,
        )
        session.add(assignment)
    assignment.presented, assignment.started = list(record.presented), now - ranking.seconds
    session.flush()
    content = SubmissionContent(ranks=ranks, skipped=ranking.skipped)
    record_submission(session, assignment, item, content, guidelines=record.guidelines, now=now)
    log_event(
        session,
        "command line",
        "import answer",
        str(assignment.id),
        item=item.key,
        labeler=ranking.labeler,
    )
    result.rankings += ranks is not None
    result.tied += ranks is not None and ranks != list(ranking.ranks or ())
    result.skips += ranking.ranks is None
    result.labelers.add(ranking.labeler)
    return None


def _rankings(session: Session, item: Item) -> tuple[LabelerRanking, ...]:
    rows: Sequence[Submission] = session.scalars(
        select(Submission)
        .join(Labeler, Labeler.id == Submission.labeler)
        .where(Submission.item == item.id, Submission.attempt == 1, Labeler.status != "excluded")
        .order_by(Submission.labeler)
    ).all()
    return tuple(
        LabelerRanking(row.labeler, tuple(row.ranks) if row.ranks else None, row.seconds, row.skipped)
        for row in rows
    )
