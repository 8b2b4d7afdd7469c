"""Runs of processes that have died: marked KILLED, and the one of the same fingerprint is resumed."""

from collections.abc import Collection, Mapping
from pathlib import Path

from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from alignloop.pipeline.dvc_lock import locked_stages
from alignloop.tracking.loop_run import PARENT
from alignloop.tracking.mlflow_store import client
from alignloop.tracking.run_status import clear_reason
from alignloop.tracking.version_tags import version_tags


def interrupted_run(
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
    clear_reason(uri, id, tags)
    return id


def _is_locked(root: Path, tags: Mapping[str, str]) -> bool:
    """Whether dvc.lock has a stage with these inputs, this code and these outputs."""
    return any(
        all(
            tags.get(key) == hash
            for kind, hashes in (("in", stage.inputs), ("code", stage.code), ("out", stage.outputs))
            for key, hash in version_tags(kind, hashes).items()
        )
        for stage in locked_stages(root)
    )


def close_abandoned_run(uri: str, text: str, ended: set[str]) -> bool:
    """Mark a run whose process has ended as KILLED, or, if it has ended by itself, add it to `ended`.

    Returns whether the run's lock may be removed: that of a run in another store is kept for a stage that
    uses that store.
    """
    if not text.startswith(f"{uri} "):
        return not text
    id = text.removeprefix(f"{uri} ")
    try:
        run = client(uri).get_run(id)
        if run.info.status == "RUNNING":
            _kill(uri, id)
            if (loop := run.data.tags.get(PARENT)) and client(uri).get_run(loop).info.status == "RUNNING":
                _kill(uri, loop)
        else:
            ended.add(id)
    except MlflowException:  # the run was deleted
        pass
    return True


def _kill(uri: str, id: str) -> None:
    client(uri).set_tag(id, "error", "the process was killed")
    client(uri).set_terminated(id, "KILLED")
