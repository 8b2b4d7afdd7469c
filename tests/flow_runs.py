"""Helpers of the flow tests: run the flow, and read what Prefect's server recorded of it."""

from typing import Any

from prefect import get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort

from flows.pipeline import pipeline
from tasks.prefect_server import wait_until_recorded
from tasks.stage_task import Outcome


def run_flow(**options: Any) -> tuple[State[Any], list[Outcome]]:
    state: State[Any] = pipeline(**options, return_state=True)
    wait_until_recorded(state)
    result = state.result(raise_on_failure=False)
    return state, result if isinstance(result, list) else []


def stages_run(outcomes: list[Outcome]) -> list[str]:
    return [outcome.stage for outcome in outcomes if outcome.status == "ran"]


def recorded_tasks(state: State[Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return a run's tasks (name to state) and its artifacts (key to text), as on Prefect's pages."""
    run = {"any_": [state.state_details.flow_run_id]}
    with get_client(sync_client=True) as client:
        rounds = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"parent_flow_run_id": run})
        )
        runs = FlowRunFilter.model_validate({"id": {"any_": [*run["any_"], *(round.id for round in rounds)]}})
        tasks = client.read_task_runs(flow_run_filter=runs)
        artifacts = client.read_artifacts(flow_run_filter=runs)
    return {task.name: task.state_name or "" for task in tasks}, {
        artifact.key or "": str(artifact.data) for artifact in artifacts
    }


def newest_run() -> FlowRun:
    """Return the pipeline's run that was started last."""
    whole = FlowFilter.model_validate({"name": {"any_": [pipeline.name]}})
    with get_client(sync_client=True) as client:
        [run] = client.read_flow_runs(flow_filter=whole, sort=FlowRunSort.START_TIME_DESC, limit=1)
    return run
