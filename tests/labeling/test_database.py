"""The database keeps what was committed and its audit, and names what is wrong if it cannot be opened."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError

from alignloop.labeling import database as module
from alignloop.labeling import escalation_schema, feedback_schema, serving_schema  # noqa: F401  their tables
from alignloop.labeling.database import (
    DatabaseBusyError,
    LabelingDatabase,
    LabelingDatabaseError,
    log_event,
)
from alignloop.labeling.schema import Event, Item, Table


def test_the_migrations_create_the_schema_of_the_tables(database: LabelingDatabase) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'eve'", "DELETE FROM audit"])
def test_the_audit_is_append_only(database: LabelingDatabase, statement: str) -> None:
    with database.writing() as session:
        log_event(session, "ada", "act")
    with pytest.raises(DBAPIError, match="append-only"), database.writing() as session:
        session.execute(text(statement))
    with database.reading() as session:
        assert [event.actor for event in session.scalars(select(Event))] == ["ada"]


def test_a_transaction_that_raises_leaves_nothing(database: LabelingDatabase) -> None:
    with pytest.raises(DBAPIError), database.writing() as session:  # noqa: PT012
        log_event(session, "ada", "act")
        session.flush()
        session.execute(text("SELECT * FROM nowhere"))
    with database.reading() as session:
        assert session.scalars(select(Event)).all() == []


def test_submissions_are_flushed_at_once_and_assignments_with_the_next_submission(
    database: LabelingDatabase,
) -> None:
    query = "SHOW synchronous_commit" if database.name.startswith("postgresql") else "PRAGMA synchronous"
    for flush, setting in ((True, ("on", 2)), (False, ("off", 1)), (True, ("on", 2))):
        with database.writing(flush) as session:
            assert session.scalar(text(query)) in setting


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:se@cret@db.example/labels",
        "postgresql://ada:s/e@cret@db.example:5432/labels",
        "postgresql://ada:secret@db.example:port/labels",
        "secret",
        "://secret",
        "postgresql:/ada:secret@db.example/labels",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(LabelingDatabaseError, match=r"^DATABASE_URL: ") as refused:
        LabelingDatabase(url)
    assert "cret" not in str(refused.value)


def test_a_database_that_another_program_holds_is_named_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alignloop.labeling.database.WRITER_TIMEOUT", 0.2)
    database = LabelingDatabase(f"sqlite:///{tmp_path}/labeling.db")
    with closing(sqlite3.connect(tmp_path / "labeling.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseBusyError, match="database is locked"), database.writing() as session:
            log_event(session, "ada", "act")
        other.execute("ROLLBACK")
    with database.writing() as session:
        log_event(session, "ada", "act again")
    with database.reading() as session:
        assert [event.action for event in session.scalars(select(Event))] == ["act again"]
    database.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://localhost/x", "'mysql' cannot be the labeling database"),
        ("sqlite://", "names no file"),
        ("postgresql://nobody@127.0.0.1:1/none", "cannot be opened"),
    ],
)
def test_a_database_that_cannot_be_opened_is_named(url: str, message: str) -> None:
    with pytest.raises(LabelingDatabaseError, match=message):
        LabelingDatabase(url)


def test_a_round_of_an_earlier_version_loses_the_items_without_a_choice(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/labeling.db"
    engine = create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    texts = {"p0": ["a", "a"], "p1": ["a", "b"], "p2": ["", ""]}
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        for key, responses in texts.items():
            row = {"key": key, "responses": json.dumps(responses), "prompt": "{}"}
            columns = "round, key, job, purpose, prompt, responses, policy, split, wanted, taken, done, skips"
            values = "'r1', :key, 'rank', 'work', :prompt, :responses, '', 'train', 1, 0, 0, 0"
            connection.execute(text(f"INSERT INTO items ({columns}, active) VALUES ({values}, 1)"), row)
    engine.dispose()
    database = LabelingDatabase(url)
    with database.reading() as session:
        active = session.scalars(select(Item.key).where(Item.active)).all()
        assert (active, session.scalars(select(Item.why)).all()) == (["p1"], ["", "", ""])
    database.close()
