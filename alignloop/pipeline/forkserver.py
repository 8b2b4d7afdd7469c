"""A process that has imported what stages need, and forks a child for each `python -m alignloop …` it is asked to run.

A cold stage spends about ten seconds on imports. A child of this server starts in a fraction of one and is otherwise the same: it leads
a process group of its own, imports the project's code itself (which may have changed since the server started), and runs it as `__main__`.
The server starts no threads and runs no tensor operation: a forked child would inherit their locks but not their threads.

Its standard input is a socket. A request is a JSON object (argv, cwd, env) and three descriptors: standard output, standard error,
and a pipe that gets the child's process id and, when it has ended, its exit code, a line each.
"""

import atexit
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import Any

FIRST = (
    "numpy",
    "torch",
    "transformers.models.llama.modeling_llama",
    "transformers.models.auto.modeling_auto",
)
FIRST += ("mlflow.store.tracking.sqlalchemy_store", "pandas", "pydantic", "yaml", "dvc.repo")
LATER = ("great_expectations", "matplotlib.pyplot")  # while the first stage, which needs neither, runs
MESSAGE_BYTES = 1 << 20


def serve(requests: socket.socket) -> None:
    """Run what is asked until the other end closes; then kill what still runs."""
    running: dict[int, int] = {}

    def reap(*_: Any) -> None:
        for child in list(running):  # only those: an import may run a program, and wait for it, too
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                _tell(running.pop(child), os.waitstatus_to_exitcode(status), last=True)

    signal.signal(signal.SIGCHLD, reap)
    _load(FIRST)
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 3)
        if not message:
            break
        output, errors, status = descriptors
        signal.pthread_sigmask(
            signal.SIG_BLOCK, {signal.SIGCHLD}
        )  # the child's end must find the child in `running`
        if (child := os.fork()) == 0:
            requests.close()
            os.close(status)
            _become(json.loads(message), output, errors)
        running[child] = status
        with suppress(OSError):
            os.setpgid(
                child, child
            )  # here as well: whoever is told of the child may signal its group at once
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.close(output)
        os.close(errors)
        _tell(status, child)
        _load(LATER)
    for child in list(running):
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)


def _load(modules: tuple[str, ...]) -> None:
    if any(module not in sys.modules for module in modules):
        for module in modules:
            importlib.import_module(module)
        gc.collect()
        gc.freeze()  # children share these pages as long as no collection touches them


def _tell(pipe: int, number: int, last: bool = False) -> None:
    with suppress(OSError):  # who asked may be gone
        os.write(pipe, b"%d\n" % number)
    if last:
        os.close(pipe)


def _become(request: dict[str, Any], output: int, errors: int) -> None:
    """Turn this fork into the process that `python -m …` would have been, and end with its exit code."""
    code = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, place in ((nothing, 0), (output, 1), (errors, 2)):
            os.dup2(descriptor, place)
            os.close(descriptor)
        threading.Thread(target=_end_unheard, daemon=True).start()
        sys.stdout.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue]
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        sys.path[0] = request["cwd"]
        sys.argv = request["argv"]
        random.seed()
        module = request["argv"][0]
        for name in [name for name in sys.modules if name.partition(".")[0] == module]:
            del sys.modules[name]
        importlib.invalidate_caches()
        code = _code_of(module)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _end_unheard() -> None:
    """End this process group when nobody can read what it says any more: who asked for it was killed, and may be asking again."""
    output = select.poll()
    output.register(
        1, 0
    )  # an error is always told, and for a pipe's writing end it means that there is no reader
    while not any(event & select.POLLERR for _, event in output.poll()):
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)


def _code_of(module: str) -> int:
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    with socket.socket(fileno=os.dup(0)) as requests:
        serve(requests)
