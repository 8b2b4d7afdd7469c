"""MLflow's experiment: where all runs of a project are, and the columns that its table shows."""

import json
from pathlib import Path

from mlflow.exceptions import MlflowException

from alignloop.pipeline.mlflow_pages import EXPERIMENT, VIEW
from alignloop.tracking.metric_names import COLUMNS
from alignloop.tracking.mlflow_store import client, store_root

VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"  # as MLflow's button "Share" writes it


def experiment(uri: str, root: Path) -> str:
    """Return the id of the project's experiment, made at the first use."""
    if existing := client(uri).get_experiment_by_name(EXPERIMENT):
        if existing.tags.get(VIEW_TAG) != _view():
            client(uri).set_experiment_tag(existing.experiment_id, VIEW_TAG, _view())
        return existing.experiment_id
    folder = (store_root(root) / "mlruns" / "artifacts").as_uri() if uri.startswith("sqlite:///") else None
    try:
        id = client(uri).create_experiment(EXPERIMENT, artifact_location=folder)
    except MlflowException:  # another stage created it at the same time
        if existing := client(uri).get_experiment_by_name(EXPERIMENT):
            return existing.experiment_id
        raise
    client(uri).set_experiment_tag(id, VIEW_TAG, _view())
    return id


def _view() -> str:
    return json.dumps({"selectedColumns": [f"metrics.`{name}`" for name in COLUMNS]})
