"""Helpers of the tracking tests: MLflow's own view of a run."""

from pathlib import Path

from mlflow.entities import Run as MlflowRun

from alignloop import tracking

MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def mlflow_run(root: Path, run: tracking.Run) -> MlflowRun:
    return tracking.client(tracking.store_uri(root)).get_run(run.id)


def points(root: Path, id: str, metric: str) -> list[tuple[int, float]]:
    """Return the steps and values of a metric, in the order of their arrival."""
    history = tracking.client(tracking.store_uri(root)).get_metric_history(id, metric)
    return [(point.step, point.value) for point in history]
