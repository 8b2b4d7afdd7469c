"""Search the runs in MLflow by the hashes of what they wrote."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflow.entities import Run as MlflowRun
from mlflow.entities import ViewType

from alignloop.pipeline.mlflow_pages import DEFAULT_SERVER, EXPERIMENT
from alignloop.tracking.mlflow_store import client, store_errors, store_uri
from alignloop.tracking.version_tags import paths_of, version_tags


@dataclass(frozen=True)
class Run:
    """A run in MLflow. `inputs`, `outputs` and `code` map paths to DVC hashes."""

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
    # of each data set among the inputs: what data/set_statistics.py counts
    sizes: Mapping[str, Mapping[str, Any]]
    error: str = ""  # why it FAILED or was KILLED

    @property
    def url(self) -> str:
        """The run's page on the server of MLFLOW_TRACKING_URI, or else on that of `make serve`."""
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        server = uri.rstrip("/") if uri.startswith("http") else DEFAULT_SERVER
        return f"{server}/#/experiments/{self.experiment}/runs/{self.id}"


def find_run(root: Path, outputs: Mapping[str, str]) -> Run | None:
    """Return the newest finished run that wrote exactly these bytes (path to hash), if there is one."""
    same = [f"tags.`{key}` = '{hash}'" for key, hash in version_tags("out", outputs).items()]
    return next(iter(_search(root, " and ".join([*same, "attributes.status = 'FINISHED'"]), 1)), None)


def runs(root: Path, stage: str = "") -> list[Run]:
    """Return every run of a stage, or of all stages, newest first. Runs of loops are none of a stage."""
    return _search(root, f"tags.stage = '{stage}'" if stage else "tags.stage LIKE '%'", None)


def _search(root: Path, query: str, limit: int | None) -> list[Run]:
    uri = store_uri(root)
    matches: list[Run] = []
    token: str | None = None
    with store_errors(uri):
        experiment = client(uri).get_experiment_by_name(EXPERIMENT)
        while experiment and (limit is None or len(matches) < limit):
            page = client(uri).search_runs(
                [experiment.experiment_id],
                query,
                run_view_type=ViewType.ACTIVE_ONLY,
                max_results=limit or 1000,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            matches += [_read(run) for run in page]
            token = page.token
            if not token:
                break
    return matches


def _read(run: MlflowRun) -> Run:
    tags, info = run.data.tags, run.info
    datasets = run.inputs.dataset_inputs if run.inputs else []
    began, ended = info.start_time or 0, info.end_time or info.start_time or 0
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
        inputs=paths_of(tags, "in"),
        outputs=paths_of(tags, "out"),
        code=paths_of(tags, "code"),
        sizes={entry.dataset.name: json.loads(entry.dataset.profile or "{}") for entry in datasets},
        error=tags.get("error", ""),
    )
