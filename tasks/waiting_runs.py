"""Runs that wait for people: the state that Prefect's pages show, and its end when a later run continues.

A waiting run is paused and holds neither a process nor a worker's slot. A later run brings the same stages up
to date, so that it continues where this one stopped; this one then ends as Continued.
"""

import logging
import uuid
from pathlib import Path
from typing import Any

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import PausedRun
from prefect.runtime import deployment, flow_run
from prefect.states import Completed, Paused

WAITING = "Waiting for"
PAUSED = {"state": {"type": {"any_": ["PAUSED"]}}}


class _CalmLog(logging.Filter):
    """Takes the alarm out of Prefect's log: to wait is no error, and a worker needs no result."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], PausedRun):
            return False
        if record.getMessage().startswith(f"Finished in state {WAITING}"):
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


for _logger in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_logger).addFilter(_CalmLog())


def waiting_state(message: str, for_whom: str, data: Any) -> State[Any]:
    """Return the state of a task or of a flow that waits: paused, with the message and the outcome.

    The button "Resume" starts a deployment's run again; `refuse_resume` is for other runs.
    """
    can_resume = bool(deployment.id) and not flow_run.parent_flow_run_id
    # the key names the checkout that waits; Prefect accepts the same one only once in a run
    key = f"{Path.cwd()} {uuid.uuid4().hex}"
    return Paused(
        name=f"{WAITING} {for_whom}", message=message, data=data, reschedule=can_resume, pause_key=key
    )


def outcome_of(state: State[Any]) -> Any:
    """Return what a task or a flow returned, be it finished or waiting; raise what it raised."""
    if state.is_paused():  # `state.result()` would raise
        return getattr(state.data, "result", state.data)
    return state.result()


def refuse_resume(state: State[Any]) -> None:
    """Have Prefect refuse to resume a run that waits and that no worker could start again.

    It would set the run to Running, with no process behind it.
    """
    id = state.state_details.flow_run_id
    if not state.is_paused() or state.state_details.pause_reschedule or id is None:
        return
    same = Paused(
        name=state.name, message=state.message, reschedule=True, pause_key=state.state_details.pause_key
    )
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(id, same, force=True)


def end_waiting_runs(root: Path) -> None:
    """Mark the runs that wait in this checkout as Continued by the present run."""
    done = Completed(name="Continued", message=f"continued by the run {flow_run.get_name()}")
    with get_client(sync_client=True) as client:
        waiting = [run for run in _paused(client) if _checkout(run) == str(root)]
        for run in waiting:
            client.set_flow_run_state(run.id, done, force=True)
        if waiting:
            runs = FlowRunFilter.model_validate({"id": {"any_": [run.id for run in waiting]}})
            tasks = TaskRunFilter.model_validate(PAUSED)
            for task in client.read_task_runs(flow_run_filter=runs, task_run_filter=tasks):
                client.set_task_run_state(task.id, done, force=True)


def _paused(client: SyncPrefectClient) -> list[FlowRun]:
    return client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(PAUSED))


def _checkout(run: FlowRun) -> str:
    """Return the folder of the checkout that a paused run waits in; "" where another flow paused."""
    key = run.state.state_details.pause_key if run.state else None
    return (key or "").rpartition(" ")[0]
