"""Prefect's server: check the one that the settings name, shield a temporary one, wait for its records.

Without the wait, pages would show unfinished tasks, because a temporary server ends with the run.
"""

import re
import signal
import subprocess
import time
from typing import Any

import prefect
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import State
from prefect.context import get_settings_context
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, get_current_settings, temporary_settings

from alignloop.errors import AlignloopError

PATIENCE_SECONDS = 10.0  # a fraction of a second is usual


class PrefectServerError(AlignloopError):
    """The Prefect server in the settings cannot be used; the message has its address and the remedy."""


def check_server() -> None:
    """Raise PrefectServerError unless the server that the settings name, if any, replies and fits."""
    settings = get_current_settings()
    if settings.api.url is None and settings.server.ephemeral.enabled:
        return
    url = re.sub(r"//[^/@]*@", "//", settings.api.url or "no address")  # without a password
    place = f"PREFECT_API_URL, of the environment or of the profile {get_settings_context().profile.name}"
    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), get_client(sync_client=True) as client:
            if error := client.api_healthcheck():
                raise error
            client.raise_for_api_version_mismatch()
    except Exception as error:  # a server can fail in any way; Prefect and httpx have errors of their own
        reason = " ".join(str(error.__cause__ or error).split()).rstrip(".") or type(error).__name__
        raise PrefectServerError(
            f"Prefect at {url} ({place}): {reason}; start that server with Prefect "
            f"{prefect.__version__}, or unset PREFECT_API_URL to run with a temporary server"
        ) from None


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
