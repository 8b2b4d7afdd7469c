"""A server that the stage starts: it is waited for, and ends with the stage, however that ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from alignloop.inference import server_process
from alignloop.inference.http_client import KEY_VARIABLE, SamplerError
from alignloop.inference.server_process import LOG, ServerProcess
from tests.inference.conftest import MakeStub

ROOT = Path(__file__).parents[2]
SMALL = Path(__file__).with_name("small_server.py")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address that nobody listens at; the working directory is a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(server_process, "POLL_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def command(*words: str) -> str:
    return " ".join([sys.executable, str(SMALL), "{port}", *words])


def alive(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == 200
    return False


def told(url: str) -> dict[str, str]:
    return httpx.get(f"{url}/environment", timeout=5, trust_env=False).json()


def running(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def gone_within(seconds: float, url: str) -> bool:
    deadline = time.monotonic() + seconds
    while alive(url) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(url)


def test_it_serves_in_the_block_and_is_gone_after_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(KEY_VARIABLE, "the-key")
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:password@db/labels")
    with ServerProcess(command("{model}", "'two words'"), url, tmp_path, 30) as server:
        assert server.died() is None
        environ = told(url)
        assert environ["arguments"] == f"{tmp_path} two words"
        assert environ["VLLM_SERVER_DEV_MODE"] == "1"
        assert environ["VLLM_API_KEY"] == "the-key"
        assert "DATABASE_URL" not in environ, "what is secret and not its business is not passed on"
        assert KEY_VARIABLE not in environ
    assert not alive(url)
    assert LOG.stat().st_mode & 0o077 == 0


def test_it_ends_with_a_process_that_is_killed(url: str, tmp_path: Path):
    code = (
        "import os, sys; from pathlib import Path; "
        "from alignloop.inference.server_process import ServerProcess as S; "
        "S(sys.argv[1], sys.argv[2], Path('m'), 30).__enter__(); os.kill(os.getpid(), 9)"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", code, command(), url], cwd=tmp_path, env=environ)
    assert killed.returncode == -signal.SIGKILL
    assert gone_within(10, url)


def test_it_ends_with_a_process_that_ends_without_ending_it(url: str, tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from alignloop.inference.server_process import ServerProcess; "
        "ServerProcess(sys.argv[1], sys.argv[2], Path('m'), 30).__enter__()"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code, command(), url], cwd=tmp_path, env=environ, check=True)
    assert gone_within(10, url)


def test_one_that_does_not_end_by_itself_is_killed_with_its_children(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    supervisor = tmp_path / "supervisor.py"
    supervisor.write_text(server_process.SUPERVISOR.read_text().replace("GRACE_S = 20", "GRACE_S = 0.5"))
    monkeypatch.setattr(server_process, "SUPERVISOR", supervisor)
    with ServerProcess(command("stubborn"), url, tmp_path, 30):
        child = int(told(url)["child"])
        os.kill(child, 0)
    assert not alive(url)
    deadline = time.monotonic() + 10
    while running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(child)


def test_its_children_have_time_to_free_what_they_share(url: str, tmp_path: Path):
    """vLLM's leave hundreds of megabytes in /dev/shm otherwise."""
    with ServerProcess(command("cleans"), url, tmp_path, 30):
        pass
    assert (tmp_path / "cleaned").exists()


def test_one_that_dies_says_so_with_the_end_of_its_log(url: str, tmp_path: Path):
    with pytest.raises(
        SamplerError, match=r"ended with exit status 3; the end of .*sampler\.log: .*out of memory"
    ):
        ServerProcess(command("dies"), url, tmp_path, 30).__enter__()
    with ServerProcess(command(), url, tmp_path, 30) as server:
        os.kill(int(told(url)["pid"]), signal.SIGKILL)
        assert gone_within(5, url)
        deadline = time.monotonic() + 5
        while not server.died() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "ended with exit status 137" in str(server.died())


def test_one_that_never_serves_is_given_up(url: str, tmp_path: Path):
    with pytest.raises(SamplerError, match=r"did not serve within 0\.5 s; .* raise rollout\.start_timeout_s"):
        ServerProcess(command("silent"), url, tmp_path, 0.5).__enter__()


def test_no_program_of_that_name(url: str, tmp_path: Path):
    with pytest.raises(SamplerError, match="there is no program nowhere/vllm; correct its path"):
        ServerProcess("nowhere/vllm serve {model}", url, tmp_path, 1).__enter__()


def test_an_address_in_use_is_refused_before_anything_starts(serve: MakeStub, tmp_path: Path):
    stub = serve()
    with pytest.raises(SamplerError, match="a server answers here already; end it, or set rollout"):
        ServerProcess("true", stub.url, tmp_path, 1).__enter__()
