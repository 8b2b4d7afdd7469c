"""Addresses of MLflow's pages. Its home page opens on a view for traces, which this project has none of."""

EXPERIMENT = "alignloop"
DEFAULT_SERVER = "http://127.0.0.1:5000"  # where `make serve` shows the store


def runs_table(server: str, experiment: str | None) -> str:
    """Return the address of an experiment's table of runs, or of the experiments where there is none yet."""
    place = f"/{experiment}/runs" if experiment else ""
    return f"{server.rstrip('/')}/#/experiments{place}?workflowType=machine_learning"
