"""Who is at work on a checkout: a locked file that says so. The kernel drops the lock when its process dies, however it dies."""

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

PATIENCE_SECONDS = 1.0  # somebody who only looks holds the file for an instant
STAGE_PATIENCE_SECONDS = 30.0


class PipelineBusyError(AlignloopError):
    """Another run works on the same files."""


@dataclass(frozen=True)
class Holder:
    """Who is at work: what it is, its process, and since when."""

    what: str
    pid: int
    since: datetime

    def __str__(self) -> str:
        return f"{self.what} (process {self.pid}, since {self.since:%Y-%m-%d %H:%M} UTC)"


@contextmanager
def at_work(root: Path, what: str) -> Iterator[None]:
    """Be the one run on the checkout in `root` while the block runs. Raises PipelineBusyError, which names the other, if there is one."""
    with holding(
        _place(root), {"what": what, "pid": os.getpid(), "since": datetime.now(UTC).isoformat()}
    ) as alone:
        if not alone:
            raise PipelineBusyError(
                f"{root}: {holder(root) or 'another run'} is at work on this checkout; run again when it has ended"
            )
        yield


def holder(root: Path) -> Holder | None:
    """Who is at work on the checkout in `root`, if anybody is."""
    told = held(_place(root))
    return Holder(told["what"], told["pid"], datetime.fromisoformat(told["since"])) if told else None


@contextmanager
def at_stage(root: Path, name: str) -> Iterator[None]:
    """Be the one process that works on a stage while the block runs. One whose parent was killed may be ending: it is waited for."""
    place = root / ".cache" / "working" / name
    with holding(place, {"pid": os.getpid()}, STAGE_PATIENCE_SECONDS) as alone:
        if not alone:
            other = held(place).get("pid", "?")
            raise PipelineBusyError(
                f"process {other} works on {name} in {root}; wait for its end, or end it, and run again"
            )
        yield


@contextmanager
def holding(
    place: Path, told: Mapping[str, Any], patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[bool]:
    """Hold a locked file that tells something while the block runs; yields False, and changes nothing, where another holds it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("a+", encoding="utf-8") as stream:
        began = time.monotonic()
        while (
            not (alone := _locked(stream.fileno(), fcntl.LOCK_EX))
            and time.monotonic() - began < patience_seconds
        ):
            time.sleep(0.05)
        if not alone:
            yield False
            return
        stream.truncate(0)
        json.dump(dict(told), stream)
        stream.flush()
        try:
            yield True
        finally:
            stream.truncate(0)


def held(place: Path) -> dict[str, Any]:
    """What the holder of the file tells; nothing if nobody holds it."""
    try:
        with place.open(encoding="utf-8") as stream:
            return {} if _locked(stream.fileno(), fcntl.LOCK_SH) else json.loads(stream.read() or "{}")
    except FileNotFoundError:
        return {}


def _place(root: Path) -> Path:
    return root / ".cache" / "at-work"


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
