"""The processes that a process has started, and those that they have started, so that all can be ended.

Standard library only, as a tool's process imports it. On Linux; elsewhere none are found.
"""

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

ADOPT = 36  # prctl's PR_SET_CHILD_SUBREAPER
PROCESSES = Path("/proc")
TRIES = 50


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parents end: sessions of their own hide none then."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(ADOPT, 1, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """The processes below one, the nearest first."""
    children: dict[int, list[int]] = {}
    for folder in PROCESSES.glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            status = (folder / "stat").read_text(errors="replace")
            parent = int(status.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found[1:]


def end_descendants(pid: int) -> None:
    """Kill all processes below one, also those that appear meanwhile; gives up after a second."""
    for _ in range(TRIES):
        below = [each for each in descendants(pid) if not _has_ended(each)]
        for each in below:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(each, signal.SIGKILL)
        if not below:
            return
        time.sleep(1 / TRIES)


def _has_ended(pid: int) -> bool:
    """Whether only its status waits to be read, or nothing is left of it."""
    try:
        status = (PROCESSES / str(pid) / "stat").read_text(errors="replace")
        return status.rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return True
