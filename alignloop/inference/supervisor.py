"""Runs a program and ends it when the process that started this one is gone, however that ended.

`python supervisor.py PROGRAM ARGUMENTS…`: standard input is a pipe from its parent. When it closes, the
program and its own children get SIGTERM, and SIGKILL if they are still there after GRACE_S. Standard library
only.
"""

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 20


def main(command: list[str]) -> int:
    """The program's exit status."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_end_with_parent, args=(process,), daemon=True).start()
    status = process.wait()
    _end_group(process)  # children that it left behind; those that are ending free what they share
    return status if status >= 0 else 128 - status


def _end_with_parent(process: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 1024):
        pass
    _end_group(process)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + GRACE_S
    _signal(process, signal.SIGTERM)
    while _signal(process, 0) and time.monotonic() < deadline:
        time.sleep(0.1)
    _signal(process, signal.SIGKILL)


def _signal(process: "subprocess.Popen[bytes]", number: int) -> bool:
    """Send a signal to the program and its children; whether there are any."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
