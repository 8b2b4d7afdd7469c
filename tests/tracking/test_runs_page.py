"""The address of MLflow's table of runs."""

from pathlib import Path

import pytest

from alignloop import tracking
from alignloop.pipeline.mlflow_pages import runs_table
from alignloop.tracking.runs_page import runs_page

TABLE = "http://127.0.0.1:5000/#/experiments"


def test_it_is_the_experiments_before_the_first_run_and_then_the_table_of_ours(project: Path) -> None:
    assert runs_page(project) == f"{TABLE}?workflowType=machine_learning"
    with tracking.run(project, "ingest"):
        pass
    [run] = tracking.runs(project)
    assert (
        runs_page(project)
        == f"{TABLE}/{run.experiment}/runs?workflowType=machine_learning&viewStateShareKey=loops"
    )


@pytest.mark.parametrize("server", ["https://mlflow.example", "https://mlflow.example/"])
def test_a_server_is_taken_as_it_is(server: str) -> None:
    assert (
        runs_table(server, "7")
        == "https://mlflow.example/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=loops"
    )
