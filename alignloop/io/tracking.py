"""What MLflow remembers of a stage: one run with its parameters, curves and files, tagged with the hash of everything it read and wrote.

A run is found by those hashes, never by an id in a file: an id would change the file, and with it `dvc.lock`, from run to run. The
store is MLFLOW_TRACKING_URI, or else `mlruns/mlflow.db` under the project's root with its artifacts beside it.
"""

import json
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from alignloop.io.environment import settle

settle()
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

import mlflow.store.tracking.sqlalchemy_store  # noqa: E402, F401  most of the default store's start, paid where modules are preloaded
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType  # noqa: E402
from mlflow.entities import Run as MlflowRun  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

from alignloop.errors import AlignloopError  # noqa: E402
from alignloop.io.claims import claim, settle_abandoned  # noqa: E402
from alignloop.io.footprint import size_of  # noqa: E402
from alignloop.io.revision import revision  # noqa: E402

EXPERIMENT = "alignloop"
STORE = "sqlite:///mlruns/mlflow.db"
PAGES = "http://127.0.0.1:5000"  # where `make serve` serves the store
FLUSH_SECONDS = 2.0

for _chatty in ("mlflow.store.db.utils", "alembic"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)


class TrackingError(AlignloopError):
    """MLflow's store cannot be used; the message names the store and the remedy."""


@dataclass(frozen=True)
class Run:
    """A run that MLflow remembers: who made what from what. `inputs`, `outputs` and `code` map paths to DVC hashes."""

    id: str
    experiment: str
    stage: str
    round: str | None
    status: str
    commit: str
    dirty: bool
    started: datetime
    seconds: float
    params: Mapping[str, str]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    code: Mapping[str, str]
    sizes: Mapping[str, Mapping[str, Any]]  # of the datasets among the inputs: {"records": …, "files": …, "labelers": […], "licences": […]}
    error: str = ""  # why it FAILED or was KILLED

    @property
    def url(self) -> str:
        """The run's page, where `make serve` or the server of MLFLOW_TRACKING_URI shows it."""
        server = os.environ.get("MLFLOW_TRACKING_URI", "")
        return f"{server.rstrip('/') if server.startswith('http') else PAGES}/#/experiments/{self.experiment}/runs/{self.id}"


def title(stage: str, round: str | None) -> str:
    """The name people see: `reward · r2`."""
    return f"{stage} · {round}" if round else stage


def home(root: Path) -> Path:
    """The project whose store is used: `root`, or the project that DVC made a temporary copy of to run an experiment."""
    project = Path(os.environ.get("DVC_ROOT", root)).resolve()
    return project if root.resolve().is_relative_to(project / ".dvc" / "tmp") else root.resolve()


def store(root: Path) -> str:
    """The store's URI, absolute: the same from any working directory."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or STORE
    return f"sqlite:///{home(root) / uri.removeprefix('sqlite:///')}" if uri.startswith("sqlite:///") else uri


@cache
def client(uri: str) -> MlflowClient:
    """The client of a store; an embedded store is made when it is first used."""
    with reached(uri):
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def reached(uri: str) -> Iterator[None]:
    """Whatever the store refuses becomes a TrackingError that names the store and says what to do."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        reason = (str(error).strip().splitlines() or ["no answer"])[0].rstrip(".")
        own = f"look at {uri.removeprefix('sqlite:///')}, or move it away to begin a new store"
        remedy = own if uri.startswith("sqlite:///") else "start that server, or unset MLFLOW_TRACKING_URI to use the project's own store"
        raise TrackingError(f"MLflow at {uri}: {reason}; {remedy}") from error


class Live:
    """The open run of the stage that is working now: curves go in through `log`, results through `finish`."""

    def __init__(self, uri: str, id: str) -> None:
        self.id, self._uri, self._client = id, uri, client(uri)
        self._points: list[Metric] = []
        self._flushed = time.monotonic()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add one point to each curve; points are written together every few seconds, in one transaction."""
        now = time.time_ns() // 1_000_000
        self._points += [Metric(key_of(name), float(value), now, step) for name, value in metrics.items()]
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            with suppress(TrackingError):  # a store that is away for a moment costs no training: the points wait, and `finish` insists
                self.flush()

    def flush(self) -> None:
        """Write the points that wait. Raises TrackingError, and keeps them, if the store does not take them."""
        self._flushed = time.monotonic()
        with reached(self._uri):
            while batch := self._points[:1000]:
                self._client.log_batch(self.id, metrics=batch)
                del self._points[: len(batch)]

    def finish(self, outputs: Mapping[str, str], artifacts: Iterable[tuple[Path, str]] = ()) -> None:
        """Tag the run with the hash of each path it wrote, and keep copies of `artifacts`: pairs of a file or folder and its place."""
        self.flush()
        with reached(self._uri):
            for path, place in artifacts:
                (self._client.log_artifacts if path.is_dir() else self._client.log_artifact)(self.id, str(path), place or None)
            for batch in _hundreds([RunTag(key_of(f"out:{path}"), hash) for path, hash in outputs.items()]):
                self._client.log_batch(self.id, tags=batch)

    def end(self, status: str, error: str = "") -> None:
        with reached(self._uri):
            if error:
                self._client.set_tag(self.id, "error", error[:5000])
            self._client.set_terminated(self.id, status)


@contextmanager
def run(
    root: Path,
    stage: str,
    round: str | None = None,
    params: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    code: Mapping[str, str] | None = None,
) -> Iterator[Live]:
    """Open the stage's run: it ends FINISHED, FAILED by an error, or KILLED by an interruption. Runs of dead processes end KILLED here."""
    uri, inputs, (commit, dirty) = store(root), inputs or {}, revision(root)
    tags = {"stage": stage, "round": round or "", "commit": commit, "dirty": str(dirty).lower()}
    tags |= {"mlflow.source.name": f"alignloop {stage}", "mlflow.source.type": "LOCAL", "mlflow.source.git.commit": commit}
    tags |= {key_of(f"in:{path}"): hash for path, hash in inputs.items()}
    tags |= {key_of(f"code:{path}"): hash for path, hash in (code or {}).items()}
    running = home(root) / "mlruns" / "running"
    settle_abandoned(running, lambda held: _end_as_killed(uri, held))
    with claim(running) as note, reached(uri):
        id = client(uri).create_run(_experiment(uri, root), tags=tags, run_name=title(stage, round)).info.run_id
        note(f"{uri} {id}")
        for batch in _hundreds([Param(key_of(name), str(value)) for name, value in flat(params or {}).items()]):
            client(uri).log_batch(id, params=batch)
        if datasets := [_dataset(root, path, hash) for path, hash in inputs.items() if path.startswith("data/")]:
            client(uri).log_inputs(id, datasets=datasets)
        live = Live(uri, id)
        try:
            yield live
            live.flush()
        except BaseException as error:
            with suppress(TrackingError):
                live.flush()
            with suppress(TrackingError):
                live.end("FAILED" if isinstance(error, Exception) else "KILLED", str(error) or type(error).__name__)
            raise
        live.end("FINISHED")


def find_run(root: Path, outputs: Mapping[str, str]) -> Run | None:
    """The newest finished run that wrote exactly these bytes, by path and hash, whether or not a later run was skipped."""
    same = [f"tags.`{key_of(f'out:{path}')}` = '{hash}'" for path, hash in outputs.items()]
    return next(iter(_search(root, " and ".join([*same, "attributes.status = 'FINISHED'"]), 1)), None)


def runs(root: Path) -> list[Run]:
    """Every run of every stage, newest first."""
    return _search(root, "", None)


def _search(root: Path, query: str, most: int | None) -> list[Run]:
    uri, found, token = store(root), [], None
    with reached(uri):
        experiment = client(uri).get_experiment_by_name(EXPERIMENT)
        while experiment and (most is None or len(found) < most):
            page = client(uri).search_runs(
                [experiment.experiment_id], query, ViewType.ACTIVE_ONLY, most or 1000, ["attributes.start_time DESC"], token
            )
            found += [_read(run) for run in page]
            token = page.token
            if not token:
                break
    return found


def _read(run: MlflowRun) -> Run:
    tags, info = run.data.tags, run.info
    datasets = run.inputs.dataset_inputs if run.inputs else []
    began, ended = info.start_time or 0, info.end_time or info.start_time or 0

    def paths(prefix: str) -> dict[str, str]:
        return {key.removeprefix(prefix): value for key, value in tags.items() if key.startswith(prefix)}

    return Run(
        id=info.run_id,
        experiment=info.experiment_id,
        stage=tags.get("stage", ""),
        round=tags.get("round") or None,
        status=info.status,
        commit=tags.get("commit", ""),
        dirty=tags.get("dirty") == "true",
        started=datetime.fromtimestamp(began / 1000, UTC),
        seconds=(ended - began) / 1000,
        params=run.data.params,
        inputs=paths("in:"),
        outputs=paths("out:"),
        code=paths("code:"),
        sizes={entry.dataset.name: json.loads(entry.dataset.profile or "{}") for entry in datasets},
        error=tags.get("error", ""),
    )


def key_of(name: str) -> str:
    """`name` as MLflow allows keys: letters, digits, `_-./: ` and at most 250 of them."""
    return re.sub(r"[^\w./: -]", "_", name)[:250]


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined with dots."""
    pairs: dict[str, Any] = {}
    for key, value in tree.items():
        pairs |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return pairs


def _hundreds(items: list[Any]) -> Iterator[list[Any]]:
    return (items[start : start + 100] for start in range(0, len(items), 100))


def _experiment(uri: str, root: Path) -> str:
    if known := client(uri).get_experiment_by_name(EXPERIMENT):
        return known.experiment_id
    place = (home(root) / "mlruns" / "artifacts").as_uri() if uri.startswith("sqlite:///") else None
    try:
        return client(uri).create_experiment(EXPERIMENT, artifact_location=place)
    except MlflowException:  # another stage was first
        if known := client(uri).get_experiment_by_name(EXPERIMENT):
            return known.experiment_id
        raise


def _end_as_killed(uri: str, held: str) -> bool:
    if not held.startswith(f"{uri} "):
        return not held  # another store's run waits for a stage that uses that store
    id = held.removeprefix(f"{uri} ")
    try:
        if client(uri).get_run(id).info.status == "RUNNING":
            client(uri).set_tag(id, "error", "the process was killed")
            client(uri).set_terminated(id, "KILLED")
    except MlflowException:  # the run was deleted
        pass
    return True


def _dataset(root: Path, path: str, hash: str) -> DatasetInput:
    size = json.dumps(size_of(root / path))
    source = json.dumps({"path": path, "md5": hash})
    return DatasetInput(Dataset(path, hash, "dvc", source, profile=size), [InputTag("mlflow.data.context", path.split("/")[-1])])
