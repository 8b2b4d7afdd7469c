"""Locks of open runs: one locked file per run; the kernel drops the lock when its process ends."""

import fcntl
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alignloop.errors import AlignloopError


class RunLockError(AlignloopError):
    """The lock of a run cannot be written; the message has the folder and the remedy."""


@contextmanager
def hold_run_lock(folder: Path) -> Iterator[Callable[[str], None]]:
    """Hold a locked file in `folder` while the block runs; yield the function that writes text into it.

    The file stays until `close_abandoned` has dealt with it.
    """
    hidden = folder / f".{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = hidden.open("w", encoding="utf-8")
    except OSError as error:
        raise RunLockError(
            f"{folder}: cannot be written: {error.strerror}; make it writable and run again"
        ) from None
    with opened as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        hidden.rename(folder / hidden.name[1:])  # visible to others only now that it is locked

        def write(text: str) -> None:
            stream.write(text)
            stream.flush()

        yield write


def close_abandoned(folder: Path, close_run: Callable[[str], bool]) -> None:
    """Call `close_run` with the text of each lock without a process; remove the lock if it returns True."""
    for file in folder.glob("[!.]*"):
        with file.open(encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # its process is alive
            if close_run(stream.read()):
                file.unlink(missing_ok=True)
