"""Prefect's temporary server ignores a terminal's Ctrl-C, so that the flow can report its end."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.prefect_server import shield_server


@pytest.fixture(autouse=True)
def no_server_yet() -> Iterator[None]:
    before = dict(SubprocessASGIServer._instances)
    SubprocessASGIServer._instances.clear()
    yield
    SubprocessASGIServer._instances.clear()
    SubprocessASGIServer._instances.update(before)


def blocked(pid: int) -> int:
    """Return the blocked signals of a process, a bit each."""
    [line] = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigBlk:")
    ]
    return int(line.split()[1], 16)


def test_the_temporary_server_blocks_ctrl_c_but_not_sigterm_and_this_process_blocks_neither() -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        shield_server()
    server = SubprocessASGIServer()  # the instance that Prefect starts
    server.port = 0
    process = server._run_uvicorn_command()
    try:
        assert blocked(process.pid) & (1 << signal.SIGINT - 1)
        assert not blocked(process.pid) & (1 << signal.SIGTERM - 1)
    finally:
        process.kill()
        process.wait()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_no_server_is_prepared_if_one_runs() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        shield_server()
    assert SubprocessASGIServer._instances == {}
