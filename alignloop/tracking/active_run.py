"""The MLflow run of the stage that is running: a new run, or an interrupted one that is resumed."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from alignloop.data.set_statistics import size_of
from alignloop.flatten import flatten
from alignloop.pipeline.git import revision
from alignloop.pipeline.loop import Loop
from alignloop.tracking.batches import hundreds
from alignloop.tracking.experiment import experiment
from alignloop.tracking.interrupted_runs import close_abandoned_run, interrupted_run
from alignloop.tracking.loop_run import PARENT, new_points, open_loop_run
from alignloop.tracking.mlflow_store import (
    TrackingError,
    client,
    store_errors,
    store_root,
    store_uri,
    valid_key,
)
from alignloop.tracking.outbox import Outbox
from alignloop.tracking.run_locks import close_abandoned, hold_run_lock
from alignloop.tracking.run_status import MOST_CHARACTERS, REASONS, status_of
from alignloop.tracking.version_tags import version_tags

FLUSH_SECONDS = 2.0
PATIENCE_SECONDS = 600.0  # at the end of a stage, for a server that is unreachable: a restart, a moved disk

warn = logging.getLogger(__name__).warning


def title(stage: str, round: str | None) -> str:
    """Return the name of a run on pages: `reward · r2`."""
    return f"{stage} · {round}" if round else stage


class ActiveRun:
    """A run that is open: `log` takes curves, `finish` takes results. A resumed run gets no point twice.

    `loop_run` is the id of its parent, the run of the loop that it belongs to.
    """

    def __init__(self, uri: str, id: str, resumed: bool = False, loop_run: str | None = None) -> None:
        self.id, self._uri = id, uri
        self._loop_run = loop_run
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
            self.upload(path, folder)
        tags = [RunTag(key, hash) for key, hash in version_tags("out", outputs).items()]
        for batch in hundreds(tags):
            self._retry(client(self._uri).log_batch, self.id, tags=batch)

    def upload(self, path: Path, folder: str = "") -> None:
        """Add a file, or the files of a folder, to the run's artifacts; one of the same name is replaced."""
        upload = client(self._uri).log_artifacts if path.is_dir() else client(self._uri).log_artifact
        self._retry(upload, self.id, str(path), folder or None)

    def upload_table(self, path: Path) -> None:
        """Add a JSON file that MLflow's pages show as a table, as those of `mlflow.log_table`."""
        self.upload(path)
        tables = json.dumps([{"path": path.name, "type": "table"}])
        self._retry(client(self._uri).set_tag, self.id, "mlflow.loggedArtifacts", tables)

    def describe(self, text: str) -> None:
        """Set the Markdown at the top of the run's page."""
        self._retry(client(self._uri).set_tag, self.id, "mlflow.note.content", text)

    def describe_loop(self, text: str) -> None:
        """Set the Markdown at the top of the loop's page."""
        if self._loop_run:
            self._retry(client(self._uri).set_tag, self._loop_run, "mlflow.note.content", text)

    def log_loop(self, step: int, headlines: Mapping[str, float]) -> None:
        """Add points to the run of the loop; `step` is the place of the round."""
        if self._loop_run:
            self._retry(self._send_headlines, self._loop_run, step, headlines)

    def end(self, status: str, error: str = "") -> None:
        """Set the final status, and the error if there was one; the loop's run has that of its last stage."""
        for id in filter(None, (self.id, self._loop_run)):
            if error:
                self._retry(client(self._uri).set_tag, id, REASONS[status], error[:MOST_CHARACTERS])
            self._retry(client(self._uri).set_terminated, id, status)

    def close(self) -> None:
        """Send no more points; queued ones are dropped."""
        self._outbox.close()

    def _retry(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Call the store, again and again while it is unreachable and the patience lasts."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                with store_errors(self._uri):
                    call(*arguments, **options)
                return
            except TrackingError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(FLUSH_SECONDS)

    def _send_headlines(self, id: str, step: int, headlines: Mapping[str, float]) -> None:
        points = new_points(self._uri, id, step, headlines, time.time_ns() // 1_000_000)
        client(self._uri).log_batch(id, metrics=points)

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
    loop: Loop | None = None,
) -> Iterator[ActiveRun]:
    """Open the stage's run: it ends FINISHED, FAILED by an error, or KILLED by an interruption.

    `fingerprint` is a hash of all that the stage's result depends on. An unfinished run of the same
    fingerprint is resumed; so is a finished one if its process was killed before dvc.lock was written.
    Runs of processes that have died are marked KILLED first. With `loop`, the run is a child of the loop's.
    """
    uri, inputs = store_uri(root), inputs or {}
    tags = _tags(root, stage, round, inputs, code=code or {}, fingerprint=fingerprint)
    locks = store_root(root) / "mlruns" / "running"
    ended: set[str] = set()
    close_abandoned(locks, lambda text: close_abandoned_run(uri, text, ended))
    with hold_run_lock(locks) as write_lock, store_errors(uri):
        place = experiment(uri, root)
        parent = open_loop_run(uri, root, place, loop) if loop else None
        if parent:
            tags[PARENT] = parent
        before = interrupted_run(uri, root, place, fingerprint, ended) if fingerprint else None
        id = before or client(uri).create_run(place, tags=tags, run_name=title(stage, round)).info.run_id
        write_lock(f"{uri} {id}")
        if before:
            client(uri).update_run(id, "RUNNING")
            renewed = ("commit", "dirty", "mlflow.source.git.commit", *([PARENT] if parent else []))
            client(uri).log_batch(id, tags=[RunTag(name, tags[name]) for name in renewed])
        values = [Param(valid_key(name), str(value)) for name, value in flatten(params or {}).items()]
        for batch in hundreds(values):
            client(uri).log_batch(id, params=batch)
        data = [_dataset(root, path, hash) for path, hash in inputs.items() if path.startswith("data/")]
        if data:
            client(uri).log_inputs(id, datasets=data)
        active = ActiveRun(uri, id, resumed=before is not None, loop_run=parent)
        try:
            yield active
            active.flush()
        except BaseException as error:
            with suppress(TrackingError):
                if not active.is_unreachable:  # otherwise the next stage to start marks it KILLED
                    active.flush()
                    active.end(status_of(error), str(error) or type(error).__name__)
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
    return tags | version_tags("in", inputs) | version_tags("code", code)


def _dataset(root: Path, path: str, hash: str) -> DatasetInput:
    size = json.dumps(size_of(root / path))
    source = json.dumps({"path": path, "md5": hash})
    dataset = Dataset(path, hash, "dvc", source, profile=size)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", path.split("/")[-1])])
