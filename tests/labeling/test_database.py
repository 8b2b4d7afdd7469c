"""The store keeps what was committed, keeps its audit, and says what is wrong when it cannot be opened."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from alignloop.labeling.database import Store, StoreError, note
from alignloop.labeling.schema import Event, Table


def test_the_migrations_make_the_schema_of_the_tables(store: Store) -> None:
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'eve'", "DELETE FROM audit"])
def test_the_audit_is_append_only(store: Store, statement: str) -> None:
    with store.writing() as session:
        note(session, "ada", "act")
    with pytest.raises(DBAPIError, match="append-only"), store.writing() as session:
        session.execute(text(statement))
    with store.reading() as session:
        assert [event.actor for event in session.scalars(select(Event))] == ["ada"]


def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    with pytest.raises(DBAPIError), store.writing() as session:  # noqa: PT012
        note(session, "ada", "act")
        session.flush()
        session.execute(text("SELECT * FROM nowhere"))
    with store.reading() as session:
        assert session.scalars(select(Event)).all() == []


def test_answers_are_flushed_when_they_are_acknowledged_and_loans_with_the_next_of_them(store: Store) -> None:
    asked = "SHOW synchronous_commit" if store.name.startswith("postgresql") else "PRAGMA synchronous"
    for flush, setting in ((True, ("on", 2)), (False, ("off", 1)), (True, ("on", 2))):
        with store.writing(flush) as session:
            assert session.scalar(text(asked)) in setting


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://localhost/x", "'mysql' is no store for labels"),
        ("sqlite://", "names no file"),
        ("postgresql://nobody@127.0.0.1:1/none", "cannot be opened"),
    ],
)
def test_what_cannot_be_opened_is_said(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        Store(url)
