"""Removal of a user's prompts from the labeling database, together with all submissions for them."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import CursorResult, Delete, delete, select
from sqlalchemy.orm import Session

from alignloop.labeling.database import DATABASE_FILE, LabelingDatabase, database_url, log_event
from alignloop.labeling.schema import Assignment, Item, Submission


def count_items(root: Path, users: Collection[str]) -> int:
    """Number of items whose prompt is by one of `users`."""
    with _open_existing(root) as database:
        if database is None:
            return 0
        with database.reading() as session:
            return len(_items(session, users))


def forget(root: Path, users: Collection[str], mark: str) -> dict[str, int]:
    """Remove the items of `users` with their assignments and submissions.

    Returns the number removed of each; empty if there is no database or it has no item of these users.
    """
    with _open_existing(root) as database:
        if database is None:
            return {}
        with database.writing() as session:
            items = _items(session, users)
            removed = {
                "answers": _remove(session, delete(Submission).where(Submission.item.in_(items))),
                "assignments": _remove(session, delete(Assignment).where(Assignment.item.in_(items))),
                "items": _remove(session, delete(Item).where(Item.id.in_(items))),
            }
            if items:
                log_event(session, "command line", "forget user", mark, **removed)
        database.compact()  # also if a labeling page prevented it the last time
        return removed if items else {}


def _remove(session: Session, removal: Delete) -> int:
    """Remove rows and return their number."""
    return cast("CursorResult[Any]", session.execute(removal)).rowcount


def _items(session: Session, users: Collection[str]) -> list[int]:
    return [id for id, prompt in session.execute(select(Item.id, Item.prompt)) if prompt.get("user") in users]


@contextmanager
def _open_existing(root: Path) -> Iterator[LabelingDatabase | None]:
    """The project's labeling database; None if there is none."""
    if not (os.environ.get("DATABASE_URL") or (root / DATABASE_FILE).exists()):
        yield None
        return
    database = LabelingDatabase(database_url(root))
    try:
        yield database
    finally:
        database.close()
