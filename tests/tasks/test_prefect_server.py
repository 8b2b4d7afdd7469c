"""A temporary server ignores Ctrl-C, so that the flow can report its end; a server that cannot be used is
named.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


@contextmanager
def old_server() -> Iterator[str]:
    """The address of a server that is healthy, and of version 2."""

    class Old(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'"2.20.1"' if self.path.endswith("/version") else b"true")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Old) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}/api"
        serving.shutdown()


def run_flow(project: Path, **env: str) -> tuple[int, str]:
    """Run the flow as a command; return its exit status and what it says on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.pipeline", "--data-only"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr.strip()


def test_a_server_that_cannot_be_used_is_one_message(project: Path, tmp_path: Path) -> None:
    dead = "http://ada:secret@127.0.0.1:9/api"
    with old_server() as old:
        for url, fault in ((dead, "refused"), (old, "server: 2.20.1"), ("nonsense", "protocol")):
            status, said = run_flow(project, PREFECT_API_URL=url)
            assert status == 1
            line = " ".join(said.split())
            assert line.startswith("Prefect at ")
            assert fault in line
            assert line.endswith("or unset PREFECT_API_URL to run with a temporary server")
            assert "secret" not in line


def test_a_server_of_the_active_profile_is_named_with_the_profile(project: Path, tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text(
        'active = "work"\n[profiles.work]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'
    )
    status, said = run_flow(project, PREFECT_HOME=str(tmp_path))
    assert status == 1
    assert "or of the profile work" in " ".join(said.split())
