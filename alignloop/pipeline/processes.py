"""Running a stage's command and hearing its lines as they come: warm through the fork server where that is possible, else in a shell."""

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

OWN = re.compile(r"python -m alignloop( [\w\s./,:+=@%-]*)?")  # nothing in it that a shell would change
GRACE_SECONDS = 10.0  # between asking a process to end and ending it
STOP_SECONDS = 2.0  # for the fork server to notice that nobody needs it
LINGER_SECONDS = 1.0  # for lines that come after the exit: a grandchild may hold the pipe for ever

Hear = Callable[[str, bool], None]
"""Called with each line, and whether it came on standard error."""


class ProcessError(AlignloopError):
    """A command could not be started or watched."""


class Process(Protocol):
    """A running process that leads a group of its own: a subprocess.Popen, or a child of the fork server."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class Child:
    """A child of the fork server, known by the pipe on which the server tells its process id and its exit code."""

    def __init__(self, status: BinaryIO) -> None:
        self._status, self._code = status, None
        self.pid = self._told()

    def poll(self) -> int | None:
        """The exit code, or None while the child runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code; raises subprocess.TimeoutExpired."""
        if self._code is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("child", timeout or 0)
            self._code = self._told()
        return self._code

    def _told(self) -> int:
        line = self._status.readline()
        if not line:
            raise ProcessError(
                "the process that starts stages has died, perhaps for want of memory; run the same command again"
            )
        return int(line)


class ForkServer:
    """The fork server seen from outside: started when it is first wanted, again if it has died, and ended with this process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def start(self) -> socket.socket:
        """The way to a living server. It imports in the background; what is asked meanwhile waits."""
        if self._process is not None and self._process.poll() is None and self._requests is not None:
            return self._requests
        self.stop()
        atexit.register(self.stop)
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        env = os.environ | {
            "PYTORCH_NVML_BASED_CUDA_CHECK": "1"
        }  # to ask whether there is a GPU must not touch it before a fork
        command = [sys.executable, "-m", "alignloop.pipeline.forkserver"]
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), env=env, cwd=Path(__file__).parents[2], start_new_session=True
            )
        return self._requests

    def fork(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], pipes: Sequence[BinaryIO]) -> None:
        """Ask for a child that runs `python -m argv…` with these pipes for its output, its errors, and what the server tells of it."""
        request = json.dumps({"argv": list(argv), "cwd": str(cwd), "env": dict(env)})
        socket.send_fds(self.start(), [request.encode()], [pipe.fileno() for pipe in pipes])

    def stop(self) -> None:
        """End the server, which ends what it still runs."""
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
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], hear: Hear, warm: bool = sys.platform == "linux"
) -> int:
    """Run a shell's argv (…, "-c", command) to its end, and return its exit code: negative for the signal that ended it.

    `python -m alignloop …` needs no shell and runs in a child of the fork server if `warm`. Any exception here ends the process first.
    """
    env = {**env, "PYTHONUNBUFFERED": "1"}
    with ExitStack() as ours, ExitStack() as theirs:
        (output, its_output), (errors, its_errors), (status, its_status) = (
            _pipe(ours, theirs) for _ in range(3)
        )
        process: Process
        if warm and OWN.fullmatch(argv[-1]):
            try:
                forkserver.fork(shlex.split(argv[-1])[2:], cwd, env, (its_output, its_errors, its_status))
                theirs.close()
                process = Child(status)
            except BaseException:
                forkserver.stop()  # a child that nobody watches must not start
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
            _listen(process, {output: False, errors: True}, hear)
            return process.wait()
        except BaseException:
            _end(process)
            raise


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    read, write = os.pipe()
    return ours.enter_context(os.fdopen(read, "rb", 0)), theirs.enter_context(os.fdopen(write, "wb", 0))


def _listen(process: Process, streams: Mapping[BinaryIO, bool], hear: Hear) -> None:
    """Pass on whole lines until the streams end, or the process has ended and they stay silent."""
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
                        hear(text, streams[stream])


def _end(process: Process) -> None:
    """Interrupt the process and all it started; kill what does not end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(GRACE_SECONDS)
