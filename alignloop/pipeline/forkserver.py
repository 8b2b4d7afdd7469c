"""Fork server: a process that has imported the stages' libraries and forks a child for each command.

A stage started from the shell spends about ten seconds on imports. A child of this server starts in a
fraction of a second and is otherwise the same: it leads its own process group, imports the project's code
itself (which may have changed since the server started), and runs it as `__main__`. The server starts no
threads and runs no tensor operations: a forked child would inherit their locks but not their threads.

Its standard input is a socket. A request is a JSON object (argv, cwd, env) and three descriptors: standard
output, standard error, and a pipe. The server writes two lines to the pipe: the child's process id, and its
exit code when it has ended.
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

PRELOADED_AT_START = (
    "numpy",
    "torch",
    "transformers.models.llama.modeling_llama",
    "transformers.models.auto.modeling_auto",
    "mlflow.store.tracking.sqlalchemy_store",
    "pandas",
    "pydantic",
    "yaml",
    "dvc.repo",
)
# while the first stage, which needs neither, runs
PRELOADED_LATER = ("great_expectations", "matplotlib.pyplot")
MESSAGE_BYTES = 1 << 20


def serve(requests: socket.socket) -> None:
    """Serve requests until the other end closes; then kill the children that still run."""
    running: dict[int, int] = {}

    def reap(*_: Any) -> None:
        for child in list(running):  # only these: an import may start a process and wait for it too
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                _report(running.pop(child), os.waitstatus_to_exitcode(status), last=True)

    signal.signal(signal.SIGCHLD, reap)
    _preload(PRELOADED_AT_START)
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 3)
        if not message:
            break
        output, errors, status = descriptors
        # Blocked until the child is in `running`: the handler looks it up there.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        if (child := os.fork()) == 0:
            requests.close()
            os.close(status)
            _run_child(json.loads(message), output, errors)
        running[child] = status
        with suppress(OSError):  # in the parent too: the client may signal the group at once
            os.setpgid(child, child)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.close(output)
        os.close(errors)
        _report(status, child)
        _preload(PRELOADED_LATER)
    for child in list(running):
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)


def _preload(modules: tuple[str, ...]) -> None:
    if any(module not in sys.modules for module in modules):
        for module in modules:
            importlib.import_module(module)
        gc.collect()
        gc.freeze()  # children share these pages as long as no collection touches them


def _report(pipe: int, number: int, last: bool = False) -> None:
    with suppress(OSError):  # the client may be gone
        os.write(pipe, b"%d\n" % number)
    if last:
        os.close(pipe)


def _run_child(request: dict[str, Any], output: int, errors: int) -> None:
    """Run the request in this fork as `python -m …` would, and exit with its exit code."""
    code = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        null = os.open(os.devnull, os.O_RDONLY)
        for descriptor, standard in ((null, 0), (output, 1), (errors, 2)):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        threading.Thread(target=_end_without_reader, daemon=True).start()
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
        code = _exit_code(module)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _end_without_reader() -> None:
    """End this process group when no process reads its output: the client was killed, and may ask again."""
    output = select.poll()
    # POLLERR is always reported; on a pipe's write end it means that there is no reader
    output.register(1, 0)
    while not any(event & select.POLLERR for _, event in output.poll()):
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)


def _exit_code(module: str) -> int:
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
