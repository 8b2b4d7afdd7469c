"""The open run of the stage that is working now, or of one that was interrupted and goes on."""

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
from alignloop.pipeline.dvc_lock import recorded
from alignloop.pipeline.git import revision
from alignloop.tracking.mlflow_store import (
    EXPERIMENT,
    TrackingError,
    client,
    flat,
    home,
    key_of,
    reached,
    store,
)
from alignloop.tracking.outbox import Outbox
from alignloop.tracking.run_locks import claim, settle_abandoned

FLUSH_SECONDS = 2.0
PATIENCE_SECONDS = 600.0  # at the end of a stage, for a server that is away: a restart, a moved disk

say = logging.getLogger(__name__).warning


def title(stage: str, round: str | None) -> str:
    """The name people see: `reward · r2`."""
    return f"{stage} · {round}" if round else stage


class Live:
    """A run that is open: curves go in through `log`, results through `finish`. One that goes on gets no point a second time."""

    def __init__(self, uri: str, id: str, goes_on: bool = False) -> None:
        self.id, self._uri, self._goes_on = id, uri, goes_on
        self._known = cache(self._points_of)
        self._patience = PATIENCE_SECONDS if uri.startswith("http") else 0.0
        self._outbox = Outbox(self._send, FLUSH_SECONDS, TrackingError)

    @property
    def page(self) -> str:
        """The address of the run's page, as MLflow's pages resolve it."""
        with reached(self._uri):
            return f"#/experiments/{client(self._uri).get_run(self.id).info.experiment_id}/runs/{self.id}"

    @property
    def away(self) -> bool:
        """Whether the store could not be reached when it was last tried."""
        return self._outbox.trouble is not None

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add one point to each curve. Points are sent together every few seconds; if the store is away they wait, and training goes on."""
        now = time.time_ns() // 1_000_000
        self._outbox.put([Metric(key_of(name), float(value), now, step) for name, value in metrics.items()])

    def flush(self) -> None:
        """Send the points that wait. Raises TrackingError if the store does not take them, a server after some patience."""
        if self.away and self._patience:
            say(
                "MLflow at %s does not answer: what it has not heard waits for it, for %d s at most",
                self._uri,
                self._patience,
            )
        self._outbox.empty(self._patience)

    def finish(self, outputs: Mapping[str, str], artifacts: Iterable[tuple[Path, str]] = ()) -> None:
        """Tag the run with the hash of each path it wrote, and keep copies of `artifacts`: pairs of a file or folder and its place."""
        self.flush()
        for path, place in artifacts:
            self._insist(
                (client(self._uri).log_artifacts if path.is_dir() else client(self._uri).log_artifact),
                str(path),
                place or None,
            )
        for batch in _hundreds([RunTag(key_of(f"out:{path}"), hash) for path, hash in outputs.items()]):
            self._insist(client(self._uri).log_batch, tags=batch)

    def describe(self, words: str) -> None:
        """What people read first on the run's page, as Markdown."""
        self._insist(client(self._uri).set_tag, "mlflow.note.content", words)

    def end(self, status: str, error: str = "") -> None:
        """Say how the run ended."""
        if error:
            self._insist(client(self._uri).set_tag, "error", error[:5000])
        self._insist(client(self._uri).set_terminated, status)

    def close(self) -> None:
        """Send no more, whatever still waits."""
        self._outbox.close()

    def _insist(self, tell: Callable[..., Any], *words: Any, **more: Any) -> None:
        """Tell the store, and again while it is away and there is patience."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                with reached(self._uri):
                    tell(self.id, *words, **more)
                return
            except TrackingError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(FLUSH_SECONDS)

    def _send(self, points: list[Metric]) -> None:
        new = [
            point
            for point in points
            if not self._goes_on or (point.step, point.value) not in self._known(point.key)
        ]
        with reached(self._uri):
            client(self._uri).log_batch(self.id, metrics=new)

    def _points_of(self, key: str) -> set[tuple[int, float]]:
        with reached(self._uri):
            return {(point.step, point.value) for point in client(self._uri).get_metric_history(self.id, key)}


@contextmanager
def run(
    root: Path,
    stage: str,
    round: str | None = None,
    params: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    code: Mapping[str, str] | None = None,
    fingerprint: str = "",
) -> Iterator[Live]:
    """Open the stage's run: it ends FINISHED, FAILED by an error, or KILLED by an interruption. Runs of dead processes end KILLED here.

    A run of the same `fingerprint` (of all that the stage's result depends on) that has not finished goes on, and so does one that has, if
    the process was killed before dvc.lock knew of it.
    """
    uri, inputs, (commit, dirty) = store(root), inputs or {}, revision(root)
    tags = {
        "stage": stage,
        "round": round or "",
        "commit": commit,
        "dirty": str(dirty).lower(),
        "fingerprint": fingerprint,
    }
    tags |= {
        "mlflow.source.name": f"alignloop {stage}",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit,
    }
    tags |= {key_of(f"in:{path}"): hash for path, hash in inputs.items()}
    tags |= {key_of(f"code:{path}"): hash for path, hash in (code or {}).items()}
    running = home(root) / "mlruns" / "running"
    ended: set[str] = set()
    settle_abandoned(running, lambda held: _settle(uri, held, ended))
    with claim(running) as note, reached(uri):
        experiment = _experiment(uri, root)
        before = _interrupted(uri, root, experiment, fingerprint, ended) if fingerprint else None
        id = before or client(uri).create_run(experiment, tags=tags, run_name=title(stage, round)).info.run_id
        note(f"{uri} {id}")
        if before:
            client(uri).update_run(id, "RUNNING")
            client(uri).log_batch(
                id,
                tags=[RunTag(name, tags[name]) for name in ("commit", "dirty", "mlflow.source.git.commit")],
            )
        for batch in _hundreds(
            [Param(key_of(name), str(value)) for name, value in flat(params or {}).items()]
        ):
            client(uri).log_batch(id, params=batch)
        if datasets := [
            _dataset(root, path, hash) for path, hash in inputs.items() if path.startswith("data/")
        ]:
            client(uri).log_inputs(id, datasets=datasets)
        live = Live(uri, id, goes_on=before is not None)
        try:
            yield live
            live.flush()
        except BaseException as error:
            with suppress(TrackingError):
                if not live.away:  # else the next stage to start says how it ended
                    live.flush()
                    live.end(
                        "FAILED" if isinstance(error, Exception) else "KILLED",
                        str(error) or type(error).__name__,
                    )
            raise
        else:
            live.end("FINISHED")
        finally:
            live.close()


def _interrupted(
    uri: str, root: Path, experiment: str, fingerprint: str, ended: Collection[str]
) -> str | None:
    """The newest run of the same work, if it broke off, or ended here just now without DVC's knowing."""
    query = f"tags.fingerprint = '{fingerprint}' and attributes.status != 'RUNNING'"
    found = client(uri).search_runs(
        [experiment], query, ViewType.ACTIVE_ONLY, 1, ["attributes.start_time DESC"]
    )
    if not found:
        return None
    id, tags = found[0].info.run_id, found[0].data.tags
    if found[0].info.status == "FINISHED" and (id not in ended or _is_recorded(root, tags)):
        return None
    if "error" in tags:
        client(uri).delete_tag(id, "error")
    return id


def _is_recorded(root: Path, tags: Mapping[str, str]) -> bool:
    """Whether dvc.lock has a stage with these inputs, this code and these outputs."""
    kinds = (("in", "inputs"), ("code", "code"), ("out", "outputs"))
    return any(
        all(
            tags.get(key_of(f"{kind}:{path}")) == hash
            for kind, name in kinds
            for path, hash in getattr(entry, name).items()
        )
        for entry in recorded(root)
    )


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


def _settle(uri: str, held: str, ended: set[str]) -> bool:
    """Say of a run whose process has ended that it was killed, unless it had said how it ended; then it is added to `ended`."""
    if not held.startswith(f"{uri} "):
        return not held  # another store's run waits for a stage that uses that store
    id = held.removeprefix(f"{uri} ")
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
    return DatasetInput(
        Dataset(path, hash, "dvc", source, profile=size),
        [InputTag("mlflow.data.context", path.split("/")[-1])],
    )
