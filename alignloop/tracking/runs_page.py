"""Find the address of MLflow's table of runs."""

from pathlib import Path

from alignloop.pipeline.mlflow_pages import DEFAULT_SERVER, EXPERIMENT, runs_table
from alignloop.tracking.mlflow_store import client, store_errors, store_uri


def runs_page(root: Path) -> str:
    """Return the address on the server of MLFLOW_TRACKING_URI, or else on that of `make serve`."""
    uri = store_uri(root)
    with store_errors(uri):
        experiment = client(uri).get_experiment_by_name(EXPERIMENT)
    server = uri if uri.startswith("http") else DEFAULT_SERVER
    return runs_table(server, experiment.experiment_id if experiment else None)
