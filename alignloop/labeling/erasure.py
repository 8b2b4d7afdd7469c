"""Removal of a user from the labeling database: prompts with all submissions, and written conversations.

Exports name a labeler as the user of a conversation that the labeler wrote.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import CursorResult, Delete, delete, func, select, text
from sqlalchemy.orm import Session

from alignloop.labeling.database import existing_database, is_postgresql, log_event
from alignloop.labeling.schema import Assignment, Event, Item, Labeler, Submission

Goes = Callable[[dict[str, Any], Iterable[str]], bool]  # an item, by its prompt and responses
ITEM_ACTIONS = ("answer", "skip", "import answer", "reopen", "keep answer", "change answer")


def no_prompt(prompt: dict[str, Any], responses: Iterable[str]) -> bool:
    """No item goes but those of the users' prompts and conversations."""
    return False


def count_items(root: Path, users: Collection[str], goes: Goes = no_prompt) -> int:
    """Number of items whose prompt or conversation is by one of `users`, or that go for their responses."""
    with existing_database(root) as database:
        if database is None:
            return 0
        with database.reading() as session:
            return len(_items(session, users, goes))


def forget(root: Path, users: Collection[str], mark: str, goes: Goes = no_prompt) -> dict[str, int]:
    """Remove the items of `users`, and those that go, with assignments, submissions and traces in the audit.

    Returns the number removed of each; empty if there is no database or it has no item of these users.
    """
    with existing_database(root) as database:
        if database is None:
            return {}
        with database.writing() as session:
            items = _items(session, users, goes)
            keys = set(session.scalars(select(Item.key).where(Item.id.in_(items))))
            removed = {
                "answers": _remove(session, delete(Submission).where(Submission.item.in_(items))),
                "assignments": _remove(session, delete(Assignment).where(Assignment.item.in_(items))),
                "items": _remove(session, delete(Item).where(Item.id.in_(items))),
            }
            removed["audit details"] = _redact_audit(session, keys) if keys else 0
            if items:
                log_event(session, "command line", "forget user", mark, **removed)
        database.compact()  # also if a labeling page prevented it the last time
        return removed if items else {}


def _remove(session: Session, removal: Delete) -> int:
    """Remove rows and return their number."""
    return cast("CursorResult[Any]", session.execute(removal)).rowcount


def _items(session: Session, users: Collection[str], goes: Goes) -> list[int]:
    rows = session.execute(select(Item.id, Item.prompt, Item.responses))
    items = {id for id, prompt, texts in rows if prompt.get("user") in users or goes(prompt, texts)}
    written = select(Assignment.item).join(Item, Item.id == Assignment.item)
    items |= set(session.scalars(written.where(Item.job == "converse", Assignment.labeler.in_(users))))
    return sorted(items)


def _redact_audit(session: Session, keys: Collection[str]) -> int:
    """Remove the items' names, which have ids of prompts, and reasons of skips from the audit's details.

    The database refuses changes of the audit, so its triggers are set aside within this transaction. The
    lines themselves stay: who did what, and when.
    """
    lines = [
        event
        for event in session.scalars(select(Event).where(Event.action.in_(ITEM_ACTIONS)))
        if event.details.get("item") in keys
    ]
    with _audit_unlocked(session):
        for event in lines:
            event.details = dict.fromkeys(event.details, "forgotten")
        session.flush()
    return len(lines)


@contextmanager
def _audit_unlocked(session: Session) -> Iterator[None]:
    """Set the triggers that refuse changes of the audit aside, and put them back."""
    if is_postgresql(session):
        session.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_append_only"))
        yield
        session.execute(text("ALTER TABLE audit ENABLE TRIGGER audit_append_only"))
        return
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'")
    triggers = [(name, sql) for name, sql in session.execute(query)]
    for name, _ in triggers:
        session.execute(text(f"DROP TRIGGER {name}"))
    yield
    for _, sql in triggers:
        session.execute(text(sql))


def labels_that_stay(root: Path, labeler: str) -> int | None:
    """Number of submissions by a labeler for other users' prompts; None if there is no such account."""
    with existing_database(root) as database:
        if database is None:
            return None
        with database.reading() as session:
            if session.get(Labeler, labeler) is None:
                return None
            own = select(func.count()).select_from(Submission).where(Submission.labeler == labeler)
            return session.scalar(own) or 0
