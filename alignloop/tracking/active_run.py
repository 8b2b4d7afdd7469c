"""The MLflow run of the stage that is running: a new run, or an interrupted one that is resumed."""

import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

from alignloop.data.set_statistics import size_of
from alignloop.flatten import flatten
from alignloop.pipeline.dvc_lock import locked_stages
from alignloop.pipeline.git import revision
from alignloop.tracking.mlflow_store import (
    EXPERIMENT,
    TrackingError,
    client,
    store_errors,
    store_root,
    store_uri,
    valid_key,
)
from alignloop.tracking.outbox import Outbox
from alignloop.tracking.run_locks import close_abandoned, hold_run_lock

FLUSH_SECONDS = 2.0
PATIENCE_SECONDS = 600.0  # at the end of a stage, for a server that is unreachable: a restart, a moved disk

warn = logging.getLogger(__name__).warning


def title(stage: str, round: str | None) -> str:
    """Return the name of a run on pages: `reward · r2`."""
    return f"{stage} · {round}" if round else stage


class ActiveRun:
    """A run that is open: `log` takes curves, `finish` takes results. A resumed run gets no point twice."""

    def __init__(self, uri: str, id: str, resumed: bool = False) -> None:
        self.id, self._uri = id, uri
        self._resumed = resumed
        self._points = cache(self._logged_points)
        self._patience = PATIENCE_SECONDS if uri.startswith("http") else 0.0
        self._outbox = Outbox(self._send, FLUSH_SECONDS, TrackingError)

    @property
    def page(self) -> str:
        """The address of the run's page, relative to MLflow's pages."""
        with store_errors(self._uri):
            return f"#/experiments/{client(self._uri).get_run(self.id).info.experiment_id}/runs/{self.id}"

    @property
    def is_unreachable(self) -> bool:
        """Whether the last attempt to reach the store failed."""
        return self._outbox.error is not None

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add one point to each curve.

        Points are sent in batches every few seconds. While the store is unreachable they are queued, and
        training continues.
        """
        now = time.time_ns() // 1_000_000
        self._outbox.put(
            [Metric(valid_key(name), float(value), now, step) for name, value in metrics.items()]
        )

    def flush(self) -> None:
        """Send the queued points. Raises TrackingError if the store fails; a server gets some time."""
        if self.is_unreachable and self._patience:
            warn(
                "MLflow at %s does not reply: unsent points wait for it, for %d s at most",
                self._uri,
                self._patience,
            )
        self._outbox.flush(self._patience)

    def finish(self, outputs: Mapping[str, str], artifacts: Iterable[tuple[Path, str]] = ()) -> None:
        """Tag the run with the hash of each path it wrote, and upload `artifacts`.

        An artifact is a file or folder with its folder among the run's artifacts.
        """
        self.flush()
        for path, folder in artifacts:
            upload = client(self._uri).log_artifacts if path.is_dir() else client(self._uri).log_artifact
            self._retry(upload, str(path), folder or None)
        for batch in _hundreds([RunTag(valid_key(f"out:{path}"), hash) for path, hash in outputs.items()]):
            self._retry(client(self._uri).log_batch, tags=batch)

    def describe(self, text: str) -> None:
        """Set the Markdown at the top of the run's page."""
        self._retry(client(self._uri).set_tag, "mlflow.note.content", text)

    def end(self, status: str, error: str = "") -> None:
        """Set the final status, and the error if there was one."""
        if error:
            self._retry(client(self._uri).set_tag, "error", error[:5000])
        self._retry(client(self._uri).set_terminated, status)

    def close(self) -> None:
        """Send no more points; queued ones are dropped."""
        self._outbox.close()

    def _retry(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Call the store about this run, again and again while it is unreachable and the patience lasts."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                with store_errors(self._uri):
                    call(self.id, *arguments, **options)
                return
            except TrackingError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(FLUSH_SECONDS)

    def _send(self, points: list[Metric]) -> None:
        new = [
            point
            for point in points
            if not self._resumed or (point.step, point.value) not in self._points(point.key)
        ]
        with store_errors(self._uri):
            client(self._uri).log_batch(self.id, metrics=new)

    def _logged_points(self, key: str) -> set[tuple[int, float]]:
        with store_errors(self._uri):
            return {(point.step, point.value) for point in client(self._uri).get_metric_history(self.id, key)}


@contextmanager
def run(
    root: Path,
    stage: str,
    round: str | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    code: Mapping[str, str] | None = None,
    fingerprint: str = "",
) -> Iterator[ActiveRun]:
    """Open the stage's run: it ends FINISHED, FAILED by an error, or KILLED by an interruption.

    `fingerprint` is a hash of all that the stage's result depends on. An unfinished run of the same
    fingerprint is resumed; so is a finished one if its process was killed before dvc.lock was written.
    Runs of processes that have died are marked KILLED first.
    """
    uri, inputs = store_uri(root), inputs or {}
    tags = _tags(root, stage, round, inputs, code=code or {}, fingerprint=fingerprint)
    locks = store_root(root) / "mlruns" / "running"
    ended: set[str] = set()
    close_abandoned(locks, lambda text: _close_abandoned_run(uri, text, ended))
    with hold_run_lock(locks) as write_lock, store_errors(uri):
        experiment = _experiment(uri, root)
        before = _interrupted(uri, root, experiment, fingerprint, ended) if fingerprint else None
        id = before or client(uri).create_run(experiment, tags=tags, run_name=title(stage, round)).info.run_id
        write_lock(f"{uri} {id}")
        if before:
            client(uri).update_run(id, "RUNNING")
            renewed = ("commit", "dirty", "mlflow.source.git.commit")
            client(uri).log_batch(id, tags=[RunTag(name, tags[name]) for name in renewed])
        values = [Param(valid_key(name), str(value)) for name, value in flatten(params or {}).items()]
        for batch in _hundreds(values):
            client(uri).log_batch(id, params=batch)
        data = [_dataset(root, path, hash) for path, hash in inputs.items() if path.startswith("data/")]
        if data:
            client(uri).log_inputs(id, datasets=data)
        active = ActiveRun(uri, id, resumed=before is not None)
        try:
            yield active
            active.flush()
        except BaseException as error:
            with suppress(TrackingError):
                if not active.is_unreachable:  # otherwise the next stage to start marks it KILLED
                    active.flush()
                    status = "FAILED" if isinstance(error, Exception) else "KILLED"
                    active.end(status, str(error) or type(error).__name__)
            raise
        else:
            active.end("FINISHED")
        finally:
            active.close()


def _tags(
    root: Path,
    stage: str,
    round: str | None,
    inputs: Mapping[str, str],
    code: Mapping[str, str],
    fingerprint: str,
) -> dict[str, str]:
    commit, dirty = revision(root)
    tags = {
        "stage": stage,
        "round": round or "",
        "commit": commit,
        "dirty": str(dirty).lower(),
        "fingerprint": fingerprint,
        "mlflow.source.name": f"alignloop {stage}",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit,
    }
    tags |= {valid_key(f"in:{path}"): hash for path, hash in inputs.items()}
    return tags | {valid_key(f"code:{path}"): hash for path, hash in code.items()}


def _interrupted(
    uri: str, root: Path, experiment: str, fingerprint: str, ended: Collection[str]
) -> str | None:
    """Return the newest run of this fingerprint if it was interrupted, or in `ended` but not in dvc.lock."""
    query = f"tags.fingerprint = '{fingerprint}' and attributes.status != 'RUNNING'"
    matches = client(uri).search_runs(
        [experiment], query, ViewType.ACTIVE_ONLY, max_results=1, order_by=["attributes.start_time DESC"]
    )
    if not matches:
        return None
    id, tags = matches[0].info.run_id, matches[0].data.tags
    if matches[0].info.status == "FINISHED" and (id not in ended or _is_locked(root, tags)):
        return None
    if "error" in tags:
        client(uri).delete_tag(id, "error")
    return id


def _is_locked(root: Path, tags: Mapping[str, str]) -> bool:
    """Whether dvc.lock has a stage with these inputs, this code and these outputs."""
    kinds = (("in", "inputs"), ("code", "code"), ("out", "outputs"))
    return any(
        all(
            tags.get(valid_key(f"{kind}:{path}")) == hash
            for kind, name in kinds
            for path, hash in getattr(stage, name).items()
        )
        for stage in locked_stages(root)
    )


def _hundreds(items: list[Any]) -> Iterator[list[Any]]:
    return (items[start : start + 100] for start in range(0, len(items), 100))


def _experiment(uri: str, root: Path) -> str:
    if existing := client(uri).get_experiment_by_name(EXPERIMENT):
        return existing.experiment_id
    folder = (store_root(root) / "mlruns" / "artifacts").as_uri() if uri.startswith("sqlite:///") else None
    try:
        return client(uri).create_experiment(EXPERIMENT, artifact_location=folder)
    except MlflowException:  # another stage created it at the same time
        if existing := client(uri).get_experiment_by_name(EXPERIMENT):
            return existing.experiment_id
        raise


def _close_abandoned_run(uri: str, text: str, ended: set[str]) -> bool:
    """Mark a run whose process has ended as KILLED, or, if it has ended by itself, add it to `ended`.

    Returns whether the run's lock may be removed: that of a run in another store is kept for a stage that
    uses that store.
    """
    if not text.startswith(f"{uri} "):
        return not text
    id = text.removeprefix(f"{uri} ")
    try:
        if client(uri).get_run(id).info.status == "RUNNING":
            client(uri).set_tag(id, "error", "the process was killed")
            client(uri).set_terminated(id, "KILLED")
        else:
            ended.add(id)
    except MlflowException:  # the run was deleted
        pass
    return True


def _dataset(root: Path, path: str, hash: str) -> DatasetInput:
    size = json.dumps(size_of(root / path))
    source = json.dumps({"path": path, "md5": hash})
    dataset = Dataset(path, hash, "dvc", source, profile=size)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", path.split("/")[-1])])
