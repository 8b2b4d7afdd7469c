"""Run a stage's command and stream its output: through the fork server if possible, else in a shell."""

import atexit
import json
import os
import re
import select
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from alignloop.errors import AlignloopError

# nothing that a shell would change
ALIGNLOOP_COMMAND = re.compile(r"python -m alignloop( [\w\s./,:+=@%-]*)?")
GRACE_SECONDS = 10.0  # between interrupting a process and killing it
STOP_SECONDS = 2.0  # for the fork server to end when its socket is closed
LINGER_SECONDS = 1.0  # for output after the exit: a grandchild may keep the pipe open for ever

OnLine = Callable[[str, bool], None]
"""Called with each line of output, and whether it came from standard error."""


class ProcessError(AlignloopError):
    """A command could not be started or watched."""


class Process(Protocol):
    """A process that leads its own process group: a subprocess.Popen or a child of the fork server."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class Child:
    """A child of the fork server; the server sends its process id and its exit code through a pipe."""

    def __init__(self, status: BinaryIO) -> None:
        self._status, self._code = status, None
        self.pid = self._read_number()

    def poll(self) -> int | None:
        """Return the exit code, or None while the child runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code. Raises subprocess.TimeoutExpired."""
        if self._code is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("child", timeout or 0)
            self._code = self._read_number()
        return self._code

    def _read_number(self) -> int:
        line = self._status.readline()
        if not line:
            raise ProcessError(
                "the fork server has died, perhaps because memory ran out; run the same command again"
            )
        return int(line)


class ForkServer:
    """Client of the fork server: it is started at first use or if it has died, and ends with this process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def start(self) -> socket.socket:
        """Return the socket of a running server. It imports in the background; requests wait meanwhile."""
        if self._process is not None and self._process.poll() is None and self._requests is not None:
            return self._requests
        self.stop()
        atexit.register(self.stop)
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # torch.cuda.is_available() must not initialise CUDA before a fork.
        env = os.environ | {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
        command = [sys.executable, "-m", "alignloop.pipeline.forkserver"]
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), env=env, cwd=Path(__file__).parents[2], start_new_session=True
            )
        return self._requests

    def fork(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], pipes: Sequence[BinaryIO]) -> None:
        """Request a child that runs `python -m ARGV…`; the pipes take its output, errors and status."""
        request = json.dumps({"argv": list(argv), "cwd": str(cwd), "env": dict(env)})
        socket.send_fds(self.start(), [request.encode()], [pipe.fileno() for pipe in pipes])

    def stop(self) -> None:
        """End the server, which kills the children that still run."""
        atexit.unregister(self.stop)
        if self._requests is not None:
            self._requests.close()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            self._process.kill()
            self._process.wait()
        self._process = self._requests = None


forkserver = ForkServer()


def run(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    on_line: OnLine,
    use_fork_server: bool = sys.platform == "linux",
) -> int:
    """Run a shell's argv (…, "-c", command); return its exit code, or minus the signal that ended it.

    `python -m alignloop …` needs no shell and runs in a child of the fork server if `use_fork_server`. On any
    exception in this process, the command is ended first.
    """
    env = {**env, "PYTHONUNBUFFERED": "1"}
    with ExitStack() as ours, ExitStack() as theirs:
        (output, its_output), (errors, its_errors), (status, its_status) = (
            _pipe(ours, theirs) for _ in range(3)
        )
        process: Process
        if use_fork_server and ALIGNLOOP_COMMAND.fullmatch(argv[-1]):
            try:
                forkserver.fork(shlex.split(argv[-1])[2:], cwd, env, (its_output, its_errors, its_status))
                theirs.close()
                process = Child(status)
            except BaseException:
                forkserver.stop()  # a child that no process waits for must not start
                raise
        else:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=its_output,
                stderr=its_errors,
                process_group=0,
            )
        try:
            theirs.close()
            _stream(process, {output: False, errors: True}, on_line)
            return process.wait()
        except BaseException:
            _end(process)
            raise


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    read, write = os.pipe()
    return ours.enter_context(os.fdopen(read, "rb", 0)), theirs.enter_context(os.fdopen(write, "wb", 0))


def _stream(process: Process, streams: Mapping[BinaryIO, bool], on_line: OnLine) -> None:
    """Pass on whole lines until the streams end, or until the process has ended and no output comes."""
    rest = dict.fromkeys(streams, b"")
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        silent_since = time.monotonic()
        while selector.get_map():
            ready = [key.fileobj for key, _ in selector.select(LINGER_SECONDS / 2)]
            if ready:
                silent_since = time.monotonic()
            elif process.poll() is not None and time.monotonic() - silent_since >= LINGER_SECONDS:
                break
            for stream in (stream for stream in streams if stream in ready):
                block = stream.read(1 << 16)
                if not block:
                    selector.unregister(stream)
                *lines, rest[stream] = re.split(rb"[\r\n]", rest[stream] + (block or b"\n"))
                for line in lines:
                    if text := line.decode("utf-8", "replace").rstrip():
                        on_line(text, streams[stream])


def _end(process: Process) -> None:
    """Interrupt the process group; kill it if it does not end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(GRACE_SECONDS)
