"""What Prefect keeps of a run: complete before the temporary server goes, or its pages would show tasks that never end."""

import signal
import subprocess
import time
from typing import Any

from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import State
from prefect.events.worker import EventsWorker
from prefect.settings import get_current_settings

SECONDS = 10.0  # at most; it takes a fraction of one


def keep_server() -> None:
    """Where no server runs, have Prefect's temporary one outlive a Ctrl-C, which a terminal sends to it too: the flow has last words."""
    if get_current_settings().api.url:
        return
    from prefect.server.api.server import (
        SubprocessASGIServer,
    )  # takes a second, and is imported only by who needs it

    class Deaf(SubprocessASGIServer):
        def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
            before = signal.pthread_sigmask(
                signal.SIG_BLOCK, {signal.SIGINT}
            )  # what is blocked stays so in a child, whatever it handles
            try:
                return super()._run_uvicorn_command()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    Deaf()  # Prefect keeps one of them, and starts it when it needs it


def send_record() -> None:
    """Wait until all that happened is on its way to the server."""
    EventsWorker.instance().wait_until_empty()
    time.sleep(0.2)


def complete_record(state: State) -> None:
    """Wait until the server has written down how each task of the flow's run, and of its rounds, ended."""
    send_record()
    run = state.state_details.flow_run_id
    begun, unfinished = (
        time.monotonic(),
        TaskRunFilter.model_validate({"state": {"type": {"any_": ["PENDING", "RUNNING"]}}}),
    )
    with get_client(sync_client=True) as client:
        rounds = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [run]}})
        )
        runs = FlowRunFilter.model_validate({"id": {"any_": [run, *(round.id for round in rounds)]}})
        while (
            client.read_task_runs(flow_run_filter=runs, task_run_filter=unfinished)
            and time.monotonic() - begun < SECONDS
        ):
            time.sleep(0.1)
