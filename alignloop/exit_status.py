"""How a command ends: its exit status, and the one message that says what went wrong."""

import errno
import io
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alignloop.errors import AlignloopError, Waiting

FULL = ("No space left on device", "Disk quota exceeded", "database or disk is full")


def print_any_text() -> None:
    """Let standard output replace what its encoding lacks, as standard error does, instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def exit_status(name: str, work: Callable[[], int]) -> int:
    """Do the work and return its exit status; expected failures and interruptions become one message.

    1: it failed; 75 (EX_TEMPFAIL): it waits for people; 130: interrupted; 143: terminated.
    """
    try:
        with _terminable():
            return work()
    except SystemExit as exit:  # argparse: --help, or arguments that do not fit
        return exit.code if isinstance(exit.code, int) else 1
    except KeyboardInterrupt as interrupt:
        terminated = interrupt.args == (signal.SIGTERM,)
        how = "terminated" if terminated else "interrupted"
        print(f"{name}: {how}; its outputs are as they were", file=sys.stderr)
        return 143 if terminated else 130
    except BrokenPipeError:  # the reader of the output has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except AlignloopError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return os.EX_TEMPFAIL if isinstance(error, Waiting) else 1
    except Exception as error:
        if not (place := _full_disk(error)):
            raise
        free = f"{shutil.disk_usage(Path(place).parent).free // 2**20:,} MB"
        print(
            f"{name}: no space left on the disk of {place} ({free} free); make room and run again: "
            "what was finished stays",
            file=sys.stderr,
        )
        return 1


@contextmanager
def _terminable() -> Iterator[None]:
    """While the block runs, SIGTERM interrupts like Ctrl-C: the run ends and temporary files are removed."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _full_disk(error: BaseException | None) -> str | None:
    """The path whose disk is full, if that is what went wrong, however deep a library wrapped it."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or any(
            words in str(error) for words in FULL
        ):
            named = Path(getattr(error, "filename", None) or ".").absolute()
            return str(named if named.parent.exists() else Path.cwd())
        error = error.__cause__ or error.__context__
    return None
