"""Prefect's temporary server stays for the flow's last words, though a terminal's Ctrl-C goes to it as well."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.prefect_server import keep_server


@pytest.fixture(autouse=True)
def no_server_yet() -> Iterator[None]:
    before = dict(SubprocessASGIServer._instances)
    SubprocessASGIServer._instances.clear()
    yield
    SubprocessASGIServer._instances.clear()
    SubprocessASGIServer._instances.update(before)


def blocked(pid: int) -> int:
    """The signals that a process does not hear, a bit each."""
    [line] = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigBlk:")
    ]
    return int(line.split()[1], 16)


def test_the_temporary_server_hears_no_ctrl_c_but_sigterm_and_we_hear_both() -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        keep_server()
    server = SubprocessASGIServer()  # the one that Prefect starts
    server.port = 0
    process = server._run_uvicorn_command()
    try:
        assert blocked(process.pid) & (1 << signal.SIGINT - 1)
        assert not blocked(process.pid) & (1 << signal.SIGTERM - 1)
    finally:
        process.kill()
        process.wait()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_where_a_server_runs_none_is_prepared() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        keep_server()
    assert SubprocessASGIServer._instances == {}
