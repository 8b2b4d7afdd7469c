"""The labeling store: SQLite in the project by default, PostgreSQL by DATABASE_URL; opened at its newest schema."""

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
from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from alignloop.errors import AlignloopError
from alignloop.labeling.schema import Event

DEFAULT = "people/labeling.db"
FULL = ("disk is full", "no space left", "disk full")
PATIENCE = 15  # seconds to wait for another writer
CONNECTIONS = 40  # as many as a server has threads for requests
_UPGRADE_LOCK = 72_316_004  # any number: one process upgrades a PostgreSQL database at a time


class StoreError(AlignloopError):
    """The labeling store cannot be used; the message says which and what to do."""


def store_url(root: Path) -> str:
    """Where the store is: DATABASE_URL, or a file of the project in `root`."""
    return os.environ.get("DATABASE_URL") or f"sqlite:///{root.resolve() / DEFAULT}"


class StoreFullError(StoreError):
    """There is no room on the store's disk: nothing of the transaction was kept."""


class Store:
    """An open labeling store. Writers come one after the other; readers wait for nobody."""

    def __init__(self, url: str) -> None:
        address = make_url(url)
        if address.get_backend_name() == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
        elif address.get_backend_name() != "sqlite":
            raise StoreError(
                f"DATABASE_URL: '{address.get_backend_name()}' is no store for labels; give a postgresql:// or sqlite:/// URL"
            )
        self.name = address.render_as_string(hide_password=True)
        self._embedded = address.get_backend_name() == "sqlite"
        self._turn = (
            Lock() if self._embedded else nullcontext()
        )  # SQLite's own way to wait for another writer is to look again and again
        if self._embedded:
            if not address.database:
                raise StoreError(
                    f"DATABASE_URL: {self.name} names no file, and labels are to be kept; write sqlite:////path/to/labeling.db"
                )
            Path(address.database).parent.mkdir(parents=True, exist_ok=True)
            self.engine = create_engine(address, connect_args={"timeout": PATIENCE}, pool_size=CONNECTIONS)
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
            raise StoreError(
                f"{self.name}: cannot be opened: {str(error.orig).strip()}; check DATABASE_URL, or start that server"
            ) from None

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the store and changes nothing."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self, flush: bool = True) -> Iterator[Session]:
        """A transaction: all of it is on disk when the block ends, or none if it raises. Without `flush` the system may write it out
        some seconds later: it outlives the death of every process, and a power cut only if something flushed came after it.
        """
        try:
            with (
                self._turn,
                Session(self._writers[flush], expire_on_commit=False) as session,
                session.begin(),
            ):
                yield session
        except SQLAlchemyError as error:
            if any(words in str(getattr(error, "orig", error)).lower() for words in FULL):
                raise StoreFullError(
                    f"{self.name}: its disk is full; make room: what was committed is kept"
                ) from error
            raise

    def compact(self) -> None:
        """Give back what deleted rows took, so that no page of the file holds them any longer. A server does so by itself."""
        if self._embedded:
            connection = self.engine.raw_connection()
            try:
                for command in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                    connection.cursor().execute(command)
            except sqlite3.OperationalError as error:
                told = "end the labeling pages and give the same command again"
                raise StoreError(f"{self.name}: cannot be compacted: {error}; {told}") from None
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


def note(session: Session, actor: str, action: str, subject: str = "", **details: Any) -> None:
    """Add a line to the audit, in the same transaction as what it tells of."""
    session.add(Event(time=time.time(), actor=actor, action=action, subject=subject, details=details))


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin below, and not when the driver thinks so
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
