"""MLflow's store: where it is, how it is reached, and what it takes as keys."""

import fcntl
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from alignloop.pipeline.environment import STORE, settle

settle()
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: E402  most of the store's start, paid where it is preloaded
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

from alignloop.errors import AlignloopError  # noqa: E402
from alignloop.files import replacing  # noqa: E402

EXPERIMENT = "alignloop"

logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow.store.db.utils").setLevel(
    logging.CRITICAL
)  # what it says with a traceback is said by a TrackingError


class TrackingError(AlignloopError):
    """MLflow's store cannot be used; the message names the store and the remedy."""


def home(root: Path) -> Path:
    """The project whose store is used: `root`, or the project that DVC made a temporary copy of to run an experiment."""
    project = Path(os.environ.get("DVC_ROOT", root)).resolve()
    return project if root.resolve().is_relative_to(project / ".dvc" / "tmp") else root.resolve()


def store(root: Path) -> str:
    """The store's URI, absolute: the same from any working directory."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{STORE}"
    return f"sqlite:///{home(root) / uri.removeprefix('sqlite:///')}" if uri.startswith("sqlite:///") else uri


@cache
def client(uri: str) -> MlflowClient:
    """The client of a store; an embedded store is made when it is first used."""
    with reached(uri):
        if uri.startswith("sqlite:///"):
            make_store(Path(uri.removeprefix("sqlite:///")))
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def make_store(file: Path) -> None:
    """Make an embedded store where there is none, whole or not at all: MLflow cannot go on with tables that it was killed at making."""
    if file.exists() and file.stat().st_size:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.with_name(".making").open("w") as alone:
            fcntl.flock(alone, fcntl.LOCK_EX)
            if not file.exists() or not file.stat().st_size:
                with replacing(file) as part:
                    SqlAlchemyStore(f"sqlite:///{part}", str(file.parent / "artifacts")).engine.dispose()
    except OSError as error:
        raise TrackingError(
            f"MLflow's store {file}: cannot be made: {error.strerror}; make {file.parent} writable and run again"
        ) from error


@contextmanager
def reached(uri: str) -> Iterator[None]:
    """Whatever the store refuses becomes a TrackingError that names the store and says what to do."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        reason = (str(error).strip().splitlines() or ["no answer"])[0].rstrip(".")
        raise TrackingError(f"MLflow at {uri}: {reason}; {_remedy(uri, reason)}") from error


def _remedy(uri: str, reason: str) -> str:
    if not uri.startswith("sqlite:///"):
        return "start that server, or unset MLFLOW_TRACKING_URI to use the project's own store"
    if "disk is full" in reason:
        return "make room there and run again: what was finished stays"
    return f"look at {uri.removeprefix('sqlite:///')}, or move it away to begin a new store"


def key_of(name: str) -> str:
    """`name` as MLflow allows keys: letters, digits, `_-./: ` and at most 250 of them."""
    return re.sub(r"[^\w./: -]", "_", name)[:250]


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined with dots."""
    pairs: dict[str, Any] = {}
    for key, value in tree.items():
        pairs |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return pairs
