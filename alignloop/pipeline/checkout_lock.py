"""Locks on a checkout and on its stages: files that name the process that holds them.

The kernel drops a lock when its process dies, however it dies.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alignloop.errors import AlignloopError

PATIENCE_SECONDS = 1.0  # a process that only reads the file locks it for an instant
STAGE_PATIENCE_SECONDS = 30.0


class PipelineBusyError(AlignloopError):
    """Another run works on the same files."""


@dataclass(frozen=True)
class LockHolder:
    """The run that holds a checkout: its name, its process id, and when it started."""

    what: str
    pid: int
    since: datetime

    def __str__(self) -> str:
        return f"{self.what} (process {self.pid}, since {self.since:%Y-%m-%d %H:%M} UTC)"


@contextmanager
def lock_checkout(root: Path, what: str, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Make this the only run on the checkout in `root` while the block runs.

    Raises PipelineBusyError, which names the other run, if there is one after `patience` seconds.
    """
    content = {"what": what, "pid": os.getpid(), "since": datetime.now(UTC).isoformat()}
    with hold_lock_file(_checkout_file(root), content, patience) as acquired:
        if not acquired:
            other = checkout_holder(root) or "another run"
            raise PipelineBusyError(
                f"{root}: {other} is at work on this checkout; run again when it has ended"
            )
        yield


def checkout_holder(root: Path) -> LockHolder | None:
    """Return the run that works on the checkout in `root`, if there is one."""
    content = read_lock_file(_checkout_file(root))
    if not content:
        return None
    return LockHolder(content["what"], content["pid"], datetime.fromisoformat(content["since"]))


@contextmanager
def lock_stage(root: Path, name: str) -> Iterator[None]:
    """Make this the only process that works on a stage while the block runs.

    It waits some seconds for another: a process whose parent was killed may be about to end.
    """
    file = root / ".cache" / "working" / name
    with hold_lock_file(file, {"pid": os.getpid()}, STAGE_PATIENCE_SECONDS) as acquired:
        if not acquired:
            other = read_lock_file(file).get("pid", "?")
            raise PipelineBusyError(
                f"process {other} works on {name} in {root}; wait for its end, or end it, and run again"
            )
        yield


@contextmanager
def hold_lock_file(
    file: Path, content: Mapping[str, Any], patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[bool]:
    """Hold a locked file with this content while the block runs.

    Yields False, and changes nothing, where another process holds the lock.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+", encoding="utf-8") as stream:
        deadline = time.monotonic() + patience_seconds
        while not (acquired := _try_lock(stream.fileno(), fcntl.LOCK_EX)) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not acquired:
            yield False
            return
        stream.truncate(0)
        json.dump(dict(content), stream)
        stream.flush()
        try:
            yield True
        finally:
            stream.truncate(0)


def read_lock_file(file: Path) -> dict[str, Any]:
    """Return the content of a lock file; empty if no process holds it."""
    try:
        with file.open(encoding="utf-8") as stream:
            return {} if _try_lock(stream.fileno(), fcntl.LOCK_SH) else json.loads(stream.read() or "{}")
    except FileNotFoundError:
        return {}


def _checkout_file(root: Path) -> Path:
    return root / ".cache" / "at-work"


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
