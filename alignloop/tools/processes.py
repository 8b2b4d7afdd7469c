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
from typing import Any, Literal

from alignloop.tools import worker
from alignloop.tools.definition import Definition
from alignloop.tools.descendants import end_descendants
from alignloop.tools.schemas import ToolError, check_settings

START_S = 60.0  # to import the tool's module
PRINTED = 1_000_000  # characters that a call may print, which nobody reads
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")
PACKAGE = Path(__file__).parents[2]
Part = Literal["call", "check", "prepare"]  # of a tool, as worker.py names them


@dataclass(frozen=True)
class Outcome:
    """How a call ended: `kind` is answered, failed, timed_out or flooded; `cut`: there was more text.

    `passages`: it is a search's, whose answer may be cut between passages.
    """

    kind: str
    text: str
    cut: bool = False
    passages: bool = False


class _Gone(Exception):
    """The process is of no use any more, and why: it has ended, is late, or wrote what is no reply."""

    def __init__(self, why: Literal["ended", "late", "no reply"]) -> None:
        self.why = why


class _Process:
    """One process of a tool."""

    def __init__(self, function: str, root: Path, *, characters: int, network: bool) -> None:
        self._line = 12 * max(characters, worker.LONGEST) + 65536  # a character is twelve bytes of JSON
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
        self._calls = 0

    def started(self) -> dict[str, Any]:
        """What it says once the tool's module is imported. Raises _Gone."""
        return self._reply(START_S)

    def ask(
        self, part: Part, arguments: Mapping[str, Any], settings: Mapping[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        """The reply to a call, or of another part of the tool. After _Gone it is of no use."""
        assert self._child.stdin is not None
        self._calls += 1
        call = {"number": self._calls, "part": part, "arguments": arguments, "settings": settings}
        try:
            self._child.stdin.write(json.dumps(call).encode() + b"\n")
            self._child.stdin.flush()
        except OSError:
            raise _Gone("ended") from None
        return self._reply(timeout_s)

    def _reply(self, timeout_s: float) -> dict[str, Any]:
        """The next line, which must be the reply to the last call: the tool may have written another."""
        line = self._read_line(time.monotonic() + timeout_s)
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or found.get("number") != self._calls:
            raise _Gone("no reply")
        return found

    def _read_line(self, deadline: float) -> bytes:
        assert self._child.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise _Gone("late")
                part = os.read(self._child.stdout.fileno(), 65536)
                if not part or len(self._rest) > self._line:
                    raise _Gone("ended")
                self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def kill(self) -> None:
        """End the process and all that it has started, also in sessions of their own."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self._child.pid, signal.SIGSTOP)  # so that it starts no more
        end_descendants(self._child.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


_WHY = {
    "ended": "ended its process",
    "late": f"took more than {START_S:g} s",
    "no reply": "wrote to where its process replies",
}


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
        process, self._found = self._start()
        self._idle.append(process)
        self.definition = Definition(
            *(self._found[name] for name in ("name", "description", "parameters", "settings"))
        )
        self.file = Path(self._found["file"])
        self.longest = ""

    def _start(self) -> tuple[_Process, dict[str, Any]]:
        process = _Process(self.function, self._root, **self._limits)
        try:
            found = process.started()
        except _Gone as gone:
            process.kill()
            what = f"was not imported within {START_S:g} s" if gone.why == "late" else "ended its process"
            raise ToolError(f"tools: {self.function} {what}; mend its module") from None
        if "broken" in found:
            process.kill()
            raise ToolError(
                f"tools: {self.function} cannot be used: {found['broken']}; mend it, or correct its name "
                "(module:function)"
            )
        return process, found

    def check(self, is_ready: bool = True) -> None:
        """Let the tool look at its settings, and at what they name if that `is_ready`.

        Raises ToolError where it cannot be used with them.
        """
        check_settings(self.function, self._found, self._settings)
        if is_ready:
            try:
                self._before_calls(self._idle[0], "prepare")
                self.longest = self._before_calls(self._idle[0], "check")
            except _Gone as gone:
                self.close()
                raise ToolError(f"tools: {self.function}: its check {_WHY[gone.why]}; mend it") from None

    def _before_calls(self, process: _Process, part: Part) -> str:
        """What a part of the tool says in a process before its first call; "" where there is no such part."""
        if not self._found[part]:
            return ""
        found = process.ask(part, {}, self._settings, START_S)
        if found["outcome"] != "answered":
            raise ToolError(f"tools: {self.function}: {found.get('text', 'its check prints too much')}")
        return found["text"]

    def _another(self) -> _Process:
        """One more process that can answer calls. Raises ToolError."""
        process, _ = self._start()
        try:
            self._before_calls(process, "prepare")
        except (_Gone, ToolError):
            process.kill()
            raise ToolError(f"tools: {self.function} could not be prepared") from None
        return process

    def call(self, arguments: Mapping[str, Any]) -> Outcome:
        """The outcome of a call with these arguments; from several threads at a time.

        Raises ToolError only where the tool says that it cannot answer any call from now on.
        """
        with self._lock:
            process = self._idle.pop() if self._idle else None
        name = self.definition.name
        try:
            process = process or self._another()
        except ToolError:
            return Outcome("failed", f"{name} could not be started")
        try:
            found = process.ask("call", dict(arguments), self._settings, self._timeout_s)
        except _Gone as gone:
            process.kill()
            if gone.why == "late":
                return Outcome("timed_out", f"{name} gave no result within {self._timeout_s:g} s")
            return Outcome("failed", f"{name} {_WHY[gone.why]}")
        with self._lock:
            self._idle.append(process)
        match found["outcome"]:
            case "stopped":
                raise ToolError(f"{self.function}: {found['text']}")
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
