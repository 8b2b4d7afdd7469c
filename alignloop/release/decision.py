"""A decision about a candidate, by whichever door: with the votes of its reviewers, it goes through the one audited path."""

from pathlib import Path
from typing import Literal

from alignloop.core.metrics import format_win_rate, win_rate_of_outcomes
from alignloop.labeling import reviews
from alignloop.labeling.database import Store
from alignloop.labeling.reviews import Tally
from alignloop.release import champion, registration
from alignloop.release.decision_log import Entry
from alignloop.tracking import registry


def decide(
    root: Path,
    store: Store,
    verb: Literal["approve", "reject"],
    model: str,
    who: str,
    reason: str,
    despite_gates: bool = False,
) -> Entry:
    """Approve or reject a registered model; what reviewers said of it so far stands on it, and they are asked no more."""
    keep_votes(root, store, model)
    version = registry.find(root, model)
    if verb == "approve":
        entry = champion.approve(root, version, who, reason, despite_gates)
    else:
        entry = champion.reject(root, version, who, reason)
    reviews.close(store, version.hash, who, f"{verb}: {reason}")
    return entry


def keep_votes(root: Path, store: Store, model: str) -> None:
    """Write the human win rate so far, if anybody voted, on the registered model."""
    version = registry.find(root, model)
    with store.reading() as session:
        asked = reviews.find(session, version.hash)
        words = told(reviews.tally(session, version.hash)) if asked else ""
    if words:
        registration.keep_votes(root, version, words)


def told(tally: Tally) -> str:
    """The human win rate with its interval; nothing where nobody voted."""
    if not tally.outcomes:
        return ""
    who = f"{tally.reviewers} reviewer{'' if tally.reviewers == 1 else 's'}"
    return f"{format_win_rate(win_rate_of_outcomes(tally.outcomes).as_dict())}, {tally.votes} votes of {who}"
