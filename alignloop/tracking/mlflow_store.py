"""The MLflow store: its location, its client, its errors and its keys."""

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alignloop.pipeline.environment import MLFLOW_DATABASE, configure

configure()
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

# The fork server preloads SqlAlchemyStore: its import is most of the time that a store takes to open.
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

from alignloop.errors import AlignloopError  # noqa: E402
from alignloop.files import replacing  # noqa: E402

logging.getLogger("alembic").setLevel(logging.WARNING)
# a TrackingError reports its errors without traceback
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


class TrackingError(AlignloopError):
    """The MLflow store cannot be used; the message has the store, the cause and the remedy."""


def store_root(root: Path) -> Path:
    """Return the project whose store is used; a copy made by `dvc exp` uses that of its origin."""
    project = Path(os.environ.get("DVC_ROOT", root)).resolve()
    return project if root.resolve().is_relative_to(project / ".dvc" / "tmp") else root.resolve()


def store_uri(root: Path) -> str:
    """Return the store's URI, with an absolute path, so that it is the same in any working directory."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{MLFLOW_DATABASE}"
    if not uri.startswith("sqlite:///"):
        return uri
    return f"sqlite:///{store_root(root) / uri.removeprefix('sqlite:///')}"


@cache
def client(uri: str) -> MlflowClient:
    """Return the client of a store; a SQLite store is created at its first use."""
    with store_errors(uri):
        if uri.startswith("sqlite:///"):
            create_store(Path(uri.removeprefix("sqlite:///")))
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def create_store(file: Path) -> None:
    """Create a SQLite store if there is none, atomically: MLflow cannot open a half-made database."""
    if file.exists() and file.stat().st_size:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.with_name(".making").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists() or not file.stat().st_size:
                with replacing(file) as part:
                    SqlAlchemyStore(f"sqlite:///{part}", str(file.parent / "artifacts")).engine.dispose()
    except OSError as error:
        raise TrackingError(
            f"MLflow's store {file}: cannot be made: {error.strerror}; "
            f"make {file.parent} writable and run again"
        ) from error


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Turn the store's errors into a TrackingError that names the store and the remedy."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        reason = (str(error).strip().splitlines() or ["no reply"])[0].rstrip(".")
        raise TrackingError(f"MLflow at {uri}: {reason}; {_remedy(uri, reason)}") from error


def _remedy(uri: str, reason: str) -> str:
    if not uri.startswith("sqlite:///"):
        return "start that server, or unset MLFLOW_TRACKING_URI to use the project's own store"
    if "disk is full" in reason:
        return "make room there and run again: what was finished stays"
    return f"look at {uri.removeprefix('sqlite:///')}, or move it away to begin a new store"


def valid_key(name: str) -> str:
    """Return `name` as a key that MLflow allows: letters, digits and `_-./: `, at most 250 characters."""
    return re.sub(r"[^\w./: -]", "_", name)[:250]
