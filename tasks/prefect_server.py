"""Wait for Prefect's record of a run before its temporary server ends: pages would show unfinished tasks."""

import signal
import subprocess
import time
from typing import Any

from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import State
from prefect.events.worker import EventsWorker
from prefect.settings import get_current_settings

PATIENCE_SECONDS = 10.0  # a fraction of a second is usual


def shield_server() -> None:
    """Make Prefect's temporary server ignore Ctrl-C, so that the flow can still report its end.

    A terminal sends the interrupt to the server as well.
    """
    if get_current_settings().api.url:
        return
    from prefect.server.api.server import SubprocessASGIServer  # takes a second: imported only where needed

    class ShieldedServer(SubprocessASGIServer):
        def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
            # a child inherits blocked signals, whatever handlers it sets
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                return super()._run_uvicorn_command()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    ShieldedServer()  # Prefect keeps one instance, and starts it when it is needed


def flush_events() -> None:
    """Wait until all events are on their way to the server."""
    EventsWorker.instance().wait_until_empty()
    time.sleep(0.2)


def wait_until_recorded(state: State) -> None:
    """Wait until the server has recorded the end of each task of the flow run and of its rounds."""
    flush_events()
    run = state.state_details.flow_run_id
    unfinished = TaskRunFilter.model_validate({"state": {"type": {"any_": ["PENDING", "RUNNING"]}}})
    deadline = time.monotonic() + PATIENCE_SECONDS
    with get_client(sync_client=True) as client:
        rounds = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [run]}})
        )
        runs = FlowRunFilter.model_validate({"id": {"any_": [run, *(round.id for round in rounds)]}})
        while client.read_task_runs(flow_run_filter=runs, task_run_filter=unfinished):
            if time.monotonic() > deadline:
                return
            time.sleep(0.1)
