"""Commands give the same result from the fork server and from a shell, stream their output, and are ended."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alignloop.pipeline import processes
from alignloop.pipeline.processes import ForkServer, ProcessError, run

PROGRAM = """
import os, sys, threading, time, atexit
word = sys.argv[1]
is_here = os.getcwd() == sys.path[0]
print(word, "says", len(sys.argv), __name__, is_here, os.environ.get("COLOUR"), flush=False)
print("trouble", file=sys.stderr)
if word == "sums":
    import torch
    torch.manual_seed(7)
    table = torch.randn(200, 200)
    numbers = tuple(torch.randperm(9).tolist())
    print(repr((table @ table).sum().item()), hash(numbers), torch.get_num_threads())
if word == "import":
    import helper
    print(helper.ANSWER)
if word == "dies":
    os.kill(os.getpid(), 11)
if word == "refuses":
    sys.exit("no, thank you")
if word == "breaks":
    raise ValueError("broken")
if word == "late":
    atexit.register(print, "goodbye")
    threading.Timer(0.2, print, ["from a thread"]).start()
if word == "sleeps":
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("interrupted")
        raise
if word == "daemon":
    if os.fork() == 0:
        time.sleep(60)
if word == "deaf":
    import signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("ready")
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("project")
    (root / "alignloop").mkdir()
    (root / "alignloop" / "__init__.py").touch()
    (root / "alignloop" / "__main__.py").write_text(PROGRAM)
    yield root
    processes.forkserver.stop()


def run_word(project: Path, word: str, warm: bool = True, **env: str) -> tuple[int, list[str], list[str]]:
    lines: dict[bool, list[str]] = {False: [], True: []}
    argv = ["/bin/sh", "-c", f"python -m alignloop {word}"]
    code = run(
        argv,
        project,
        {**os.environ, **env},
        lambda line, error: lines[error].append(line),
        use_fork_server=warm,
    )
    return code, lines[False], lines[True]


@pytest.mark.parametrize("word", ["sums", "refuses", "late"])
def test_a_process_of_the_fork_server_does_exactly_what_one_from_the_shell_does(
    project: Path, word: str
) -> None:
    assert run_word(project, word, COLOUR="red") == run_word(project, word, warm=False, COLOUR="red")


def test_exit_codes_and_errors_are_returned(project: Path) -> None:
    assert run_word(project, "works")[0] == 0
    assert run_word(project, "dies")[0] == -signal.SIGSEGV
    code, _, errors = run_word(project, "breaks")
    assert (code, errors[-1]) == (1, "ValueError: broken")
    assert run_word(project, "works") == (
        0,
        ["works says 2 __main__ True None"],
        ["trouble"],
    )  # the server outlives them all


def test_code_that_changes_while_the_server_runs_is_the_code_that_runs(project: Path) -> None:
    (project / "helper.py").write_text("ANSWER = 1\n")
    assert run_word(project, "import")[1][-1] == "1"
    (project / "helper.py").write_text("ANSWER = 22\n")
    assert run_word(project, "import")[1][-1] == "22"


def test_an_exception_in_the_caller_interrupts_the_process(project: Path) -> None:
    lines: list[str] = []

    def on_line(line: str, _: bool) -> None:
        lines.append(line)
        if line.startswith("sleeps"):
            raise TimeoutError

    with pytest.raises(TimeoutError):
        run(["/bin/sh", "-c", "python -m alignloop sleeps"], project, os.environ, on_line)
    assert run_word(project, "works")[0] == 0


def test_a_process_that_ignores_the_interrupt_is_killed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.5)

    def on_line(line: str, _: bool) -> None:
        if line == "ready":
            raise TimeoutError

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        run(["/bin/sh", "-c", "python -m alignloop deaf"], project, os.environ, on_line)
    assert time.monotonic() - began < 10


def test_a_grandchild_that_holds_the_output_open_does_not_block_the_run(project: Path) -> None:
    began = time.monotonic()
    assert run_word(project, "daemon")[0] == 0
    assert time.monotonic() - began < 10


def test_any_other_command_runs_in_the_shell_with_this_python_first(project: Path) -> None:
    lines: list[tuple[str, bool]] = []
    command = 'python -c "import sys; print(sys.prefix)" | cat && echo $((1 + 1)) >&2'
    assert run(["/bin/sh", "-c", command], project, os.environ, lambda *line: lines.append(line)) == 0
    assert sorted(lines) == sorted([(sys.prefix, False), ("2", True)])


def test_lines_are_streamed_while_the_process_runs(project: Path) -> None:
    times: list[float] = []
    run(
        ["/bin/sh", "-c", "echo one; sleep 0.5; printf two"],
        project,
        os.environ,
        lambda *_: times.append(time.monotonic()),
    )
    assert times[1] - times[0] > 0.3


def test_a_stage_ends_when_nobody_reads_its_output_even_while_the_server_is_busy(project: Path) -> None:
    pipes = [os.pipe() for _ in range(3)]
    output, errors, status = (os.fdopen(read, "rb", 0) for read, _ in pipes)
    ours = [os.fdopen(write, "wb", 0) for _, write in pipes]
    processes.forkserver.fork(["alignloop", "sleeps"], project, os.environ, ours)
    for pipe in ours:
        pipe.close()
    assert int(status.readline()) > 0
    assert output.readline().startswith(b"sleeps")
    output.close()
    assert int(status.readline()) == -signal.SIGKILL
    for pipe in (errors, status):
        pipe.close()


def test_a_dead_server_is_reported_and_the_next_run_starts_a_new_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ForkServer()
    monkeypatch.setattr(processes, "forkserver", server)
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.1)  # the new one still imports when it has to stop
    server.start()
    dying = server._process
    assert dying is not None
    dying.send_signal(signal.SIGSTOP)  # it takes the request, and dies before it replies
    threading.Timer(0.5, dying.kill).start()
    with pytest.raises(ProcessError, match="run the same command again"):
        run_word(project, "works")
    server.start()
    assert server._process is not None
    assert server._process is not dying
    server.stop()


def test_no_stage_outlives_its_client(project: Path) -> None:
    pipes = [os.pipe() for _ in range(3)]
    output, errors, status = (os.fdopen(read, "rb", 0) for read, _ in pipes)
    ours = [os.fdopen(write, "wb", 0) for _, write in pipes]
    server = processes.forkserver  # the last test of the warm one: another takes seconds to start
    server.fork(["alignloop", "sleeps"], project, os.environ, ours)
    for pipe in ours:
        pipe.close()
    assert output.readline().startswith(b"sleeps")
    began, requests = time.monotonic(), server.start()
    requests.close()  # as the kernel does it when the flow is killed
    assert output.read() == b""
    assert time.monotonic() - began < 10
    for pipe in (output, errors, status):
        pipe.close()
