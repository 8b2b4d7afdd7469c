"""Addresses of MLflow's pages. Its home page opens on a view for traces, which this project has none of."""

EXPERIMENT = "alignloop"
VIEW = "loops"  # the columns of the table of runs, by a tag of the experiment
DEFAULT_SERVER = "http://127.0.0.1:5000"  # where `make serve` shows the store


def runs_table(server: str, experiment: str | None) -> str:
    """Return the address of an experiment's table of runs, or of the experiments where there is none yet."""
    pages = f"{server.rstrip('/')}/#/experiments"
    if experiment is None:
        return f"{pages}?workflowType=machine_learning"
    return f"{pages}/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"
