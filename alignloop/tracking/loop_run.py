"""The MLflow run of a loop: the parent of its stages' runs, with the loop's parameters and headlines."""

from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag, ViewType

from alignloop.pipeline.git import revision
from alignloop.pipeline.loop import Loop, loop_title
from alignloop.tracking.batches import hundreds
from alignloop.tracking.mlflow_store import client, valid_key
from alignloop.tracking.run_status import clear_reason

PARENT = "mlflow.parentRunId"  # the tag by which MLflow nests runs


def open_loop_run(uri: str, root: Path, experiment: str, loop: Loop) -> str:
    """Return the id of the loop's run, which is running now; it is made for the loop's first stage."""
    commit, dirty = revision(root)
    tags = {"commit": commit, "dirty": str(dirty).lower(), "mlflow.source.git.commit": commit}
    query = f"tags.loop = '{loop.id}'"
    for same in client(uri).search_runs([experiment], query, ViewType.ACTIVE_ONLY, max_results=1):
        id = same.info.run_id
        client(uri).update_run(id, "RUNNING")
        clear_reason(uri, id, same.data.tags)
        client(uri).log_batch(id, tags=[RunTag(name, value) for name, value in tags.items()])
        if len(same.data.params) < len(loop.params):  # the process that made the run was killed
            _log_params(uri, id, loop)
        return id
    tags |= {
        "loop": loop.id,
        "rounds": " ".join(loop.rounds),
        "seed": str(loop.seed),
        "mlflow.source.name": "alignloop",
        "mlflow.source.type": "LOCAL",
    }
    title = loop_title(loop.rounds, loop.seed, commit)
    id = client(uri).create_run(experiment, tags=tags, run_name=title).info.run_id
    _log_params(uri, id, loop)
    return id


def _log_params(uri: str, id: str, loop: Loop) -> None:
    for batch in hundreds([Param(valid_key(name), str(value)) for name, value in loop.params.items()]):
        client(uri).log_batch(id, params=batch)


def new_points(uri: str, id: str, step: int, values: Mapping[str, float], now: int) -> list[Metric]:
    """Return the points that the loop's run does not have yet."""
    return [
        Metric(valid_key(name), float(value), now, step)
        for name, value in values.items()
        if (step, float(value))
        not in {(point.step, point.value) for point in client(uri).get_metric_history(id, valid_key(name))}
    ]
