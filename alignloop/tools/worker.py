"""A tool's process: reads calls from standard input, a JSON object a line, and writes one back for each.

`python -m alignloop.tools.worker MODULE:FUNCTION MOST_CHARACTERS MOST_PRINTED NETWORK`. The tool's own prints
go nowhere, and end a call when they are too many. Without NETWORK (1), Python's sockets and new processes are
refused: a guard against accidents, no sandbox. The process ends when its parent does.
"""

import importlib
import io
import json
import os
import sys
import threading
from collections.abc import Callable
from queue import Queue
from typing import Any

from alignloop.tools.definition import ToolProblem, definition_of

REFUSED = ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "subprocess.Popen")
REFUSED += ("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn")


class TooMuchPrinted(BaseException):
    """The tool has printed more than it may; no `except Exception` of its own holds this up."""


class Printed(io.TextIOBase):
    """Counts what a tool prints, and drops it."""

    def __init__(self, most: int) -> None:
        self.most, self.count = most, 0

    def write(self, text: str) -> int:
        self.count += len(text)
        if self.count > self.most:
            raise TooMuchPrinted
        return len(text)


def main() -> int:
    """Answer calls until standard input ends."""
    name, characters, printed, network = sys.argv[1:5]
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    prints = Printed(int(printed))
    sys.stdout = sys.stderr = prints  # type: ignore[assignment]
    calls: Queue[dict[str, Any]] = Queue()
    threading.Thread(target=_read, args=(calls,), daemon=True).start()

    def reply(content: dict[str, Any]) -> None:
        replies.write(json.dumps(content) + "\n")
        replies.flush()

    try:
        function, ready = _found(name)
    except BaseException as error:  # the user's code may fail in any way, SystemExit included
        reply({"broken": _told(error)})
        return 1
    if network != "1":
        sys.addaudithook(_refuse)
    reply(ready)
    while True:
        call = calls.get()
        prints.count = 0
        reply(_answered(function, call, int(characters)))


def _read(calls: "Queue[dict[str, Any]]") -> None:
    for line in sys.stdin:
        calls.put(json.loads(line))
    os._exit(0)  # the parent has ended, whatever the tool is doing


def _found(name: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    module_name, _, attribute = name.partition(":")
    module = importlib.import_module(module_name)
    function = getattr(module, attribute, None)
    definition = definition_of(function)
    if function is None or definition is None:
        what = "is no tool: put @tool(...) of alignloop.tools.definition above it"
        raise ToolProblem(f"{attribute} {what if function else f'is not in {module_name}'}")
    return function, {
        "name": definition.name,
        "description": definition.description,
        "parameters": dict(definition.parameters),
        "file": os.path.abspath(getattr(module, "__file__", None) or "?"),  # noqa: PTH100
    }


def _answered(function: Callable[..., Any], call: dict[str, Any], characters: int) -> dict[str, Any]:
    """The result as text, cut to what is read of it, or why there is none."""
    try:
        result = function(**call["arguments"], **call["settings"])
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    except TooMuchPrinted:
        return {"outcome": "flooded"}
    except ToolProblem as error:
        return {"outcome": "failed", "text": str(error)[:characters]}
    except BaseException as error:  # of the user's code: also SystemExit, MemoryError
        return {"outcome": "failed", "text": _told(error)[:characters]}
    return {"outcome": "answered", "text": text[:characters], "length": len(text)}


def _told(error: BaseException) -> str:
    said = (str(error).splitlines() or [""])[0][:200]
    if isinstance(error, ToolProblem):
        return said
    return f"{type(error).__name__}{': ' if said else ''}{said}"


def _refuse(event: str, args: Any) -> None:
    if event in REFUSED:
        raise ToolProblem(f"{event} is refused: the tool has no network (network: false)")


if __name__ == "__main__":
    sys.exit(main())
