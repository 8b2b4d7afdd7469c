"""MLflow tracking: one run per stage, with parameters, curves, files, and the hashes of inputs and outputs.

A run is found by those hashes, never by an id in a file: an id would change the file, and with it
`dvc.lock`, from run to run. The store is MLFLOW_TRACKING_URI, or else `mlruns/mlflow.db` under the
project's root with its artifacts beside it.
"""

from alignloop.tracking.active_run import ActiveRun, run, title
from alignloop.tracking.finished_runs import Run, find_run, runs
from alignloop.tracking.mlflow_store import (
    TrackingError,
    client,
    create_store,
    store_errors,
    store_uri,
    valid_key,
)

__all__ = [
    "ActiveRun",
    "Run",
    "TrackingError",
    "client",
    "create_store",
    "find_run",
    "run",
    "runs",
    "store_errors",
    "store_uri",
    "title",
    "valid_key",
]
