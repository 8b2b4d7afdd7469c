"""A tool's process: reads calls from standard input, a JSON object a line, and writes one back for each.

`python -m alignloop.tools.worker MODULE:FUNCTION MOST_CHARACTERS MOST_PRINTED NETWORK`. A call has a number,
and so has its reply: what else the tool writes there is no reply. Its own prints go nowhere, and end a call
when they are too many. Without NETWORK (1), Python's sockets and new processes are refused, also while the
module is imported: a guard against accidents, no sandbox. The process ends when its parent does, and ends all
that it has started.
"""

import importlib
import inspect
import io
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from queue import Queue
from typing import Any

from alignloop.tools.definition import Definition, ToolProblem, ToolStops, definition_of
from alignloop.tools.descendants import adopt_orphans, end_descendants

PROCESS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn")
PROCESS += ("os.startfile", "pty.spawn", "_winapi.CreateProcess")


LONGEST = 100_000  # characters of what a check returns, or of why a tool stops


class Refused(ToolProblem, PermissionError):
    """What a tool without network may not do. Libraries expect such an error where a machine forbids it."""


class TooMuchPrinted(BaseException):
    """The tool has printed more than it may; no `except Exception` of its own holds this up."""


class Printed(io.BufferedIOBase):
    """Counts what a tool prints in bytes, and drops it."""

    def __init__(self, most: int) -> None:
        self.most, self.count = most, 0

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1  # which goes nowhere

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.count += size
        if self.count > self.most:
            raise TooMuchPrinted
        return size


def main() -> int:
    """Answer calls until standard input ends."""
    name, characters, printed, network = sys.argv[1:5]
    adopt_orphans()
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    lines = os.fdopen(os.dup(0), encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    prints = Printed(int(printed))
    sys.stdout = sys.stderr = io.TextIOWrapper(prints, "utf-8", "backslashreplace", write_through=True)  # type: ignore[arg-type]
    calls: Queue[dict[str, Any]] = Queue()
    threading.Thread(target=_read, args=(lines, calls), daemon=True).start()

    def reply(number: int, content: Mapping[str, Any]) -> None:
        replies.write(json.dumps({"number": number, **content}) + "\n")
        replies.flush()

    if network != "1":
        refuse_network()
    try:
        function, definition, ready = _found(name)
    except BaseException as error:  # the user's code may fail in any way, SystemExit included
        reply(0, {"broken": _told(error)})
        return 1
    reply(0, ready)
    while True:
        call = calls.get()
        prints.count = 0
        by = {"call": function, "check": definition.check, "prepare": definition.prepare}[call["part"]]
        assert by
        most = int(characters) if by is function else LONGEST
        reply(call["number"], _answered(by, call, most))


def _read(lines: io.TextIOBase, calls: "Queue[dict[str, Any]]") -> None:
    for line in lines:
        calls.put(json.loads(line))
    end_descendants(os.getpid())  # the parent has ended, whatever the tool is doing
    os._exit(0)


def _found(name: str) -> tuple[Callable[..., Any], Definition, dict[str, Any]]:
    module_name, _, attribute = name.partition(":")
    module = importlib.import_module(module_name)
    function = getattr(module, attribute, None)
    definition = definition_of(function)
    if function is None or definition is None:
        what = "is no tool: put @tool(...) of alignloop.tools.definition above it"
        raise ToolProblem(f"{attribute} {what if function else f'is not in {module_name}'}")
    takes = inspect.signature(function).parameters.values()
    named = [each for each in takes if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return (
        function,
        definition,
        {
            "name": definition.name,
            "description": definition.description,
            "parameters": dict(definition.parameters),
            "settings": None if definition.settings is None else dict(definition.settings),
            "check": definition.check is not None,
            "prepare": definition.prepare is not None,
            "takes": [each.name for each in named],
            "needs": [each.name for each in named if each.default is each.empty],
            "takes_any": any(each.kind is each.VAR_KEYWORD for each in takes),
            "file": os.path.abspath(getattr(module, "__file__", None) or "?"),  # noqa: PTH100
        },
    )


def _answered(function: Callable[..., Any], call: dict[str, Any], characters: int) -> dict[str, Any]:
    """The result as text, cut to what is read of it, or why there is none."""
    try:
        result = function(**call["arguments"], **call["settings"])
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    except TooMuchPrinted:
        return {"outcome": "flooded"}
    except ToolStops as error:
        return {"outcome": "stopped", "text": str(error)[:LONGEST]}
    except ToolProblem as error:
        return {"outcome": "failed", "text": str(error)[:characters]}
    except BaseException as error:  # of the user's code: also SystemExit, MemoryError
        return {"outcome": "failed", "text": _told(error)[:characters]}
    return {"outcome": "answered", "text": text[:characters], "length": len(text)}


def _told(error: BaseException) -> str:
    try:
        said = (str(error).splitlines() or [""])[0][:200]
    except Exception:  # the user's exception, which cannot say what it is
        said = ""
    if isinstance(error, ToolProblem):
        return said
    return f"{type(error).__name__}{': ' if said else ''}{said}"


def refuse_network() -> None:
    """From now on Python's sockets and new processes are refused in this process."""
    import _posixsubprocess

    def refused(*arguments: Any) -> int:
        raise _refusal("a new process")

    _posixsubprocess.fork_exec = refused  # multiprocessing calls it, and no audit event tells
    sys.addaudithook(_refuse)


def _refuse(event: str, args: Any) -> None:
    if event in PROCESS:
        raise _refusal(event)
    if event == "socket.__new__" and args[1] == getattr(socket, "AF_UNIX", None):
        return  # a pair of them is how asyncio wakes itself; connecting one is another event
    if event.startswith("socket.") and event != "socket.gethostname":
        raise _refusal(event)


def _refusal(what: str) -> Refused:
    return Refused(f"{what} is refused: the tool has no network (network: false)")


if __name__ == "__main__":
    sys.exit(main())
