"""Completions of a text that somebody types: suggested, and accepted, accepted in part, or dismissed.

They are kept with the person's consent alone, because the text may never be sent, and deleted when that is
withdrawn.
"""

import time
from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from alignloop.labeling.database import LabelingDatabase, LabelingDatabaseError
from alignloop.labeling.feedback_schema import Outcome, Suggestion

SYSTEM = "Continue the user's text. Write only what comes next."  # what the model is told
MOST = 10_000  # of one owner; the oldest make room


class SuggestionNotFound(LabelingDatabaseError):
    """The owner has no such suggestion, or has decided about it; the message is for the person."""


def add(database: LabelingDatabase, owner: str, text: str, completion: str, model: str) -> int:
    """Keep a suggested completion and return its id; `model` is the version that wrote it."""
    with database.writing() as session:
        of_owner = Suggestion.owner == owner
        if session.scalar(select(func.count()).select_from(Suggestion).where(of_owner)) == MOST:
            oldest = select(func.min(Suggestion.id)).where(of_owner).scalar_subquery()
            session.execute(delete(Suggestion).where(Suggestion.id == oldest))
        row = Suggestion(
            owner=owner,
            system=SYSTEM,
            text=text,
            completion=completion,
            model=model,
            outcome=None,
            taken="",
            created=time.time(),
            time=None,
        )
        session.add(row)
        session.flush()
        return row.id


def decide(database: LabelingDatabase, owner: str, id: int, outcome: Outcome, taken: str = "") -> None:
    """Save what became of a suggestion; `taken` is the part that was accepted. Raises SuggestionNotFound."""
    with database.writing() as session:
        found = session.get(Suggestion, id)
        if found is None or found.owner != owner or found.outcome is not None:
            raise SuggestionNotFound("There is no such suggestion.")
        if outcome == "part" and not (taken.strip() and found.completion.startswith(taken)):
            raise SuggestionNotFound("The part that was accepted is no beginning of the suggestion.")
        found.outcome, found.time = outcome, time.time()
        found.taken = {"accepted": found.completion, "part": taken, "dismissed": ""}[outcome]


def all_suggestions(session: Session) -> list[Suggestion]:
    """All that are kept, in their order."""
    return list(session.scalars(select(Suggestion).order_by(Suggestion.id)))


def delete_of_owners(session: Session, owners: Sequence[str]) -> None:
    """Delete the suggestions of some owners."""
    session.execute(delete(Suggestion).where(Suggestion.owner.in_(owners)))
