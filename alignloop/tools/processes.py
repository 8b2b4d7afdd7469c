"""A tool's processes: each answers one call at a time, and is killed when it takes too long.

A tool runs in a process of its own because only a process can be stopped for certain. It gets none of this
process's environment but what programs need: no keys.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignloop.errors import AlignloopError
from alignloop.tools import worker
from alignloop.tools.definition import Definition

START_S = 60.0  # to import the tool's module
PRINTED = 1_000_000  # characters that a call may print, which nobody reads
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")
PACKAGE = Path(__file__).parents[2]


class ToolError(AlignloopError):
    """A tool cannot be used; the message names it, the fault and the remedy."""


@dataclass(frozen=True)
class Outcome:
    """How a call ended: `kind` is answered, failed, timed_out or flooded; `cut`: there was more text."""

    kind: str
    text: str
    cut: bool = False


class _Gone(Exception):
    """The process has ended, or has not replied in time (`late`)."""

    def __init__(self, late: bool) -> None:
        self.late = late


class _Process:
    """One process of a tool."""

    def __init__(self, function: str, root: Path, *, characters: int, network: bool) -> None:
        self._line = 12 * characters + 65536  # a character is twelve bytes of JSON at most
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        self._child = subprocess.Popen(
            [
                *(sys.executable, "-m", worker.__name__, function),
                *(str(characters), str(PRINTED), str(int(network))),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=root,
            env={**kept, "PYTHONPATH": f"{root}{os.pathsep}{PACKAGE}", "PYTHONHASHSEED": "0"},
            start_new_session=True,
        )
        self._rest = b""

    def ask(self, call: Mapping[str, Any] | None, timeout_s: float) -> dict[str, Any]:
        """The reply to a call; None: to its start. Raises _Gone, and is of no use then."""
        assert self._child.stdin is not None
        if call is not None:
            try:
                self._child.stdin.write(json.dumps(call).encode() + b"\n")
                self._child.stdin.flush()
            except OSError:
                raise _Gone(late=False) from None
        return json.loads(self._read_line(time.monotonic() + timeout_s))

    def _read_line(self, deadline: float) -> bytes:
        assert self._child.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise _Gone(late=True)
                part = os.read(self._child.stdout.fileno(), 65536)
                if not part or len(self._rest) > self._line:
                    raise _Gone(late=False)
                self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def kill(self) -> None:
        """End the process and all that it has started in its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


class ToolProcesses:
    """The processes of one tool, as many as calls are made at the same time. Raises ToolError at the start.

    `characters` of a result are read; `settings` are arguments that the user states and the model never sees.
    """

    def __init__(
        self,
        function: str,
        root: Path,
        *,
        timeout_s: float,
        characters: int,
        network: bool,
        settings: Mapping[str, Any],
    ) -> None:
        self.function, self._root = function, root
        self._timeout_s, self._settings = timeout_s, dict(settings)
        self._limits: dict[str, Any] = {"characters": characters, "network": network}
        self._idle: list[_Process] = []
        self._lock = threading.Lock()
        process, found = self._start()
        self._idle.append(process)
        self.definition = Definition(found["name"], found["description"], found["parameters"])
        self.file = Path(found["file"])

    def _start(self) -> tuple[_Process, dict[str, Any]]:
        process = _Process(self.function, self._root, **self._limits)
        try:
            found = process.ask(None, START_S)
        except _Gone as gone:
            process.kill()
            what = f"was not imported within {START_S:g} s" if gone.late else "ended its process"
            raise ToolError(f"tools: {self.function} {what}; mend its module") from None
        if "broken" in found:
            process.kill()
            raise ToolError(
                f"tools: {self.function} cannot be used: {found['broken']}; mend it, or correct its name "
                "(module:function)"
            )
        return process, found

    def call(self, arguments: Mapping[str, Any]) -> Outcome:
        """The outcome of a call with these arguments; from several threads at a time. Never raises."""
        with self._lock:
            process = self._idle.pop() if self._idle else None
        name = self.definition.name
        try:
            process = process or self._start()[0]
        except ToolError:
            return Outcome("failed", f"{name} could not be started")
        try:
            found = process.ask({"arguments": dict(arguments), "settings": self._settings}, self._timeout_s)
        except _Gone as gone:
            process.kill()
            if gone.late:
                return Outcome("timed_out", f"{name} gave no result within {self._timeout_s:g} s")
            return Outcome("failed", f"{name} ended its process")
        with self._lock:
            self._idle.append(process)
        match found["outcome"]:
            case "flooded":
                return Outcome("flooded", f"{name} printed more than {PRINTED:,} characters")
            case "failed":
                return Outcome("failed", f"{name}: {found['text']}")
            case _:
                return Outcome("answered", found["text"], cut=found["length"] > len(found["text"]))

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            while self._idle:
                self._idle.pop().kill()
