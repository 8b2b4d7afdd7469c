"""Decide about a candidate, from the command line or the web pages; its votes are recorded first."""

from pathlib import Path
from typing import Literal

from alignloop.core.metrics import format_win_rate, win_rate_of_outcomes
from alignloop.labeling import reviews
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.reviews import Tally
from alignloop.release import champion, registration
from alignloop.release.decision_log import Entry
from alignloop.tracking import registry


def decide(
    root: Path,
    store: LabelingDatabase,
    verb: Literal["approve", "reject"],
    model: str,
    who: str,
    reason: str,
    despite_gates: bool = False,
) -> Entry:
    """Approve or reject a registered model. Its reviewers' votes so far are recorded, and its review ends."""
    record_votes(root, store, model)
    version = registry.find(root, model)
    if verb == "approve":
        entry = champion.approve(root, version, who, reason, despite_gates)
    else:
        entry = champion.reject(root, version, who, reason)
    reviews.close(store, version.hash, who, f"{verb}: {reason}")
    return entry


def record_votes(root: Path, store: LabelingDatabase, model: str) -> None:
    """Write the human win rate so far to the registered model, if there are votes."""
    version = registry.find(root, model)
    with store.reading() as session:
        review = reviews.find(session, version.hash)
        votes = vote_summary(reviews.tally(session, version.hash)) if review else ""
    if votes:
        registration.add_votes(root, version, votes)


def vote_summary(tally: Tally) -> str:
    """Return the human win rate with its confidence interval; "" without votes."""
    if not tally.outcomes:
        return ""
    who = f"{tally.reviewers} reviewer{'' if tally.reviewers == 1 else 's'}"
    return f"{format_win_rate(win_rate_of_outcomes(tally.outcomes).as_dict())}, {tally.votes} votes of {who}"
