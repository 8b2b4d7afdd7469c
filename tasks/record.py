"""What Prefect keeps of a run: complete before the temporary server goes, or its pages would show tasks that never end."""

import time

from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import State
from prefect.events.worker import EventsWorker

SECONDS = 10.0  # at most; it takes a fraction of one


def send_record() -> None:
    """Wait until all that happened is on its way to the server."""
    EventsWorker.instance().wait_until_empty()
    time.sleep(0.2)


def complete_record(state: State) -> None:
    """Wait until the server has written down how each task of the flow's run, and of its rounds, ended."""
    send_record()
    run = state.state_details.flow_run_id
    begun, unfinished = time.monotonic(), TaskRunFilter.model_validate({"state": {"type": {"any_": ["PENDING", "RUNNING"]}}})
    with get_client(sync_client=True) as client:
        rounds = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [run]}}))
        runs = FlowRunFilter.model_validate({"id": {"any_": [run, *(round.id for round in rounds)]}})
        while client.read_task_runs(flow_run_filter=runs, task_run_filter=unfinished) and time.monotonic() - begun < SECONDS:
            time.sleep(0.1)
