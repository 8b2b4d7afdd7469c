"""The labeling database: SQLite in the project by default, PostgreSQL if DATABASE_URL names one.

Opening it runs the migrations that are still missing.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from alignloop.errors import AlignloopError
from alignloop.labeling.schema import Event

DATABASE_FILE = "people/labeling.db"
DISK_FULL_MESSAGES = ("disk is full", "no space left", "disk full")
LOCKED_MESSAGE = "database is locked"
WRITER_TIMEOUT = 15  # seconds to wait for another writer
CONNECTIONS = 40  # one for each request thread of the server
_UPGRADE_LOCK = 72_316_004  # any number: one process upgrades a PostgreSQL database at a time


class LabelingDatabaseError(AlignloopError):
    """The labeling database cannot be used; the message states which one and the remedy."""


def database_url(root: Path) -> str:
    """URL of the labeling database: DATABASE_URL, or a file of the project in `root`."""
    return os.environ.get("DATABASE_URL") or f"sqlite:///{root.resolve() / DATABASE_FILE}"


@contextmanager
def existing_database(root: Path) -> Iterator["LabelingDatabase | None"]:
    """The labeling database of the project in `root`; None if there is none, for then none is made."""
    if not (os.environ.get("DATABASE_URL") or (root / DATABASE_FILE).exists()):
        yield None
        return
    database = LabelingDatabase(database_url(root))
    try:
        yield database
    finally:
        database.close()


def is_postgresql(session: Session) -> bool:
    """Whether the session is of a PostgreSQL database, whose transactions are not serialised by one lock."""
    return session.get_bind().dialect.name == "postgresql"


class DiskFullError(LabelingDatabaseError):
    """The disk of the database is full: nothing of the transaction was saved."""


class DatabaseBusyError(LabelingDatabaseError):
    """The database cannot be used for the moment: nothing of the transaction was saved."""


class LabelingDatabase:
    """An open labeling database. Writers run one after the other; readers never wait."""

    def __init__(self, url: str) -> None:
        address = _parse_url(url)
        if address.get_backend_name() == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
        elif address.get_backend_name() != "sqlite":
            raise LabelingDatabaseError(
                f"DATABASE_URL: '{address.get_backend_name()}' cannot be the labeling database; "
                "give a postgresql:// or sqlite:/// URL"
            )
        self.name = address.render_as_string(hide_password=True)
        self._embedded = address.get_backend_name() == "sqlite"
        # SQLite waits for another writer by polling; a lock inside the process is faster
        self._write_lock = Lock() if self._embedded else nullcontext()
        if self._embedded:
            if not address.database:
                raise LabelingDatabaseError(
                    f"DATABASE_URL: {self.name} names no file, so labels would be lost; write "
                    "sqlite:////path/to/labeling.db"
                )
            Path(address.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.engine = create_engine(
                address, connect_args={"timeout": WRITER_TIMEOUT}, pool_size=CONNECTIONS
            )
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            self.engine = create_engine(
                address, pool_pre_ping=True, pool_size=CONNECTIONS // 2, max_overflow=CONNECTIONS // 2
            )
            event.listen(self.engine, "begin", _begin_postgresql)
        self._writers = {
            flush: self.engine.execution_options(writes="FULL" if flush else "NORMAL")
            for flush in (True, False)
        }
        try:
            self._upgrade()
        except OperationalError as error:
            self.engine.dispose()
            raise LabelingDatabaseError(
                f"{self.name}: cannot be opened: {str(error.orig).strip()}; "
                "check DATABASE_URL, or start that server"
            ) from None

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A read-only session that sees one consistent state of the database."""
        with self._named_errors(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self, flush: bool = True) -> Iterator[Session]:
        """A transaction that is committed when the block ends and rolled back if it raises.

        With `flush` it is on disk at the commit. Without, the system may write it out some seconds later: it
        survives the death of every process, but a power cut only if a flushed transaction came after it.
        """
        with (
            self._named_errors(),
            self._write_lock,
            Session(self._writers[flush], expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turn errors of the database's surroundings into ours."""
        try:
            yield
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", error)).strip()
            if any(words in reason.lower() for words in DISK_FULL_MESSAGES):
                raise DiskFullError(
                    f"{self.name}: its disk is full; free some space: what was committed is kept"
                ) from error
            is_away = isinstance(error, DBAPIError) and error.connection_invalidated
            is_away |= isinstance(error, OperationalError) and not self._embedded
            if is_away or LOCKED_MESSAGE in reason:
                raise DatabaseBusyError(
                    f"{self.name}: cannot be used now: {reason}; run again when no other program holds it"
                ) from error
            raise

    def compact(self) -> None:
        """Reclaim the space of deleted rows, so that no page of a SQLite file holds them.

        PostgreSQL does so itself.
        """
        if self._embedded:
            connection = self.engine.raw_connection()
            try:
                for command in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                    connection.cursor().execute(command)
            except sqlite3.OperationalError as error:
                remedy = "stop the labeling pages and run the same command again"
                raise LabelingDatabaseError(f"{self.name}: cannot be compacted: {error}; {remedy}") from None
            finally:
                connection.close()

    def _upgrade(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self._writers[True].begin() as connection:
            if not self._embedded:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _parse_url(url: str) -> URL:
    """The parts of a URL. What is refused is not quoted: it may hold a password."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise LabelingDatabaseError(
            "DATABASE_URL: is no URL of a database; write postgresql://USER:PASSWORD@HOST:PORT/NAME "
            "or sqlite:////path/to/labeling.db"
        ) from None
    if any(sign in (address.host or "") for sign in "@:/#?"):
        raise LabelingDatabaseError(
            "DATABASE_URL: its password has a sign that ends it too early; write @ as %40, : as %3A, "
            "/ as %2F, # as %23 and % as %25"
        )
    return address


def log_event(session: Session, actor: str, action: str, subject: str = "", **details: Any) -> None:
    """Add a line to the audit, in the same transaction as the action that it records."""
    session.add(Event(time=time.time(), actor=actor, action=action, subject=subject, details=details))


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin below, not when the driver decides
    for pragma in ("journal_mode=WAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    synchronous = connection.get_execution_options().get("writes")
    if synchronous:
        connection.exec_driver_sql(f"PRAGMA synchronous={synchronous}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if synchronous else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("writes") == "NORMAL":
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
