"""What MLflow remembers of a stage: one run with its parameters, curves and files, tagged with the hash of everything it read and wrote.

A run is found by those hashes, never by an id in a file: an id would change the file, and with it `dvc.lock`, from run to run. The
store is MLFLOW_TRACKING_URI, or else `mlruns/mlflow.db` under the project's root with its artifacts beside it.
"""

from alignloop.tracking.active_run import Live, run, title
from alignloop.tracking.finished_runs import Run, find_run, runs
from alignloop.tracking.mlflow_store import TrackingError, client, flat, key_of, make_store, reached, store

__all__ = [
    "Live",
    "Run",
    "TrackingError",
    "client",
    "find_run",
    "flat",
    "key_of",
    "make_store",
    "reached",
    "run",
    "runs",
    "store",
    "title",
]
