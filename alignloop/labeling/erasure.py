"""Taking a user's prompts out of the labeling store, with all that labelers said of them; the audit keeps that it was done."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import CursorResult, Delete, delete, select
from sqlalchemy.orm import Session

from alignloop.labeling.database import DEFAULT, Store, note, store_url
from alignloop.labeling.schema import Answer, Assignment, Item


def held(root: Path, users: Collection[str]) -> int:
    """How many items have a prompt by one of `users`."""
    with _store(root) as store:
        if store is None:
            return 0
        with store.reading() as session:
            return len(_items(session, users))


def forget(root: Path, users: Collection[str], mark: str) -> dict[str, int]:
    """Remove these items and what was answered; counts, empty where there is no store or nothing of these users in it."""
    with _store(root) as store:
        if store is None:
            return {}
        with store.writing() as session:
            theirs = _items(session, users)
            gone = {
                "answers": _gone(session, delete(Answer).where(Answer.item.in_(theirs))),
                "assignments": _gone(session, delete(Assignment).where(Assignment.item.in_(theirs))),
                "items": _gone(session, delete(Item).where(Item.id.in_(theirs))),
            }
            if theirs:
                note(session, "command line", "forget user", mark, **gone)
        store.compact()  # also where a labeling page kept it from being done the last time
        return gone if theirs else {}


def _gone(session: Session, removal: Delete) -> int:
    """Remove rows; how many."""
    return cast("CursorResult[Any]", session.execute(removal)).rowcount


def _items(session: Session, users: Collection[str]) -> list[int]:
    return [id for id, prompt in session.execute(select(Item.id, Item.prompt)) if prompt.get("user") in users]


@contextmanager
def _store(root: Path) -> Iterator[Store | None]:
    """The project's store; None where nobody has made one."""
    if not (os.environ.get("DATABASE_URL") or (root / DEFAULT).exists()):
        yield None
        return
    store = Store(store_url(root))
    try:
        yield store
    finally:
        store.close()
