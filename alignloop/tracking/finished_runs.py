"""The runs that MLflow remembers, found by the hashes of what they made."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflow.entities import Run as MlflowRun
from mlflow.entities import ViewType

from alignloop.tracking.mlflow_store import EXPERIMENT, client, key_of, reached, store

PAGES = "http://127.0.0.1:5000"  # where `make serve` serves the store


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
    sizes: Mapping[
        str, Mapping[str, Any]
    ]  # of the datasets among the inputs: {"records": …, "files": …, "labelers": […], "licences": […]}
    error: str = ""  # why it FAILED or was KILLED

    @property
    def url(self) -> str:
        """The run's page, where `make serve` or the server of MLFLOW_TRACKING_URI shows it."""
        server = os.environ.get("MLFLOW_TRACKING_URI", "")
        return f"{server.rstrip('/') if server.startswith('http') else PAGES}/#/experiments/{self.experiment}/runs/{self.id}"


def find_run(root: Path, outputs: Mapping[str, str]) -> Run | None:
    """The newest finished run that wrote exactly these bytes, by path and hash, whether or not a later run was skipped."""
    same = [f"tags.`{key_of(f'out:{path}')}` = '{hash}'" for path, hash in outputs.items()]
    return next(iter(_search(root, " and ".join([*same, "attributes.status = 'FINISHED'"]), 1)), None)


def runs(root: Path, stage: str = "") -> list[Run]:
    """Every run of a stage, or of every stage, newest first."""
    return _search(root, f"tags.stage = '{stage}'" if stage else "", None)


def _search(root: Path, query: str, most: int | None) -> list[Run]:
    uri, found, token = store(root), [], None
    with reached(uri):
        experiment = client(uri).get_experiment_by_name(EXPERIMENT)
        while experiment and (most is None or len(found) < most):
            page = client(uri).search_runs(
                [experiment.experiment_id],
                query,
                ViewType.ACTIVE_ONLY,
                most or 1000,
                ["attributes.start_time DESC"],
                token,
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
