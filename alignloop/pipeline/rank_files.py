"""What the ranks of a stage and their launcher tell each other, in a folder that all hosts see.

Each rank writes its number of beats, its CPU time, what it does, and how it ended; the launcher beats as
well, and marks the stage as failed. A rank whose launcher is gone ends itself.
"""

import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from alignloop.pipeline.checkout_lock import hold_lock_file, read_lock_file

PLACE = Path(".cache", "ranks")
BEAT_SECONDS = 1.0
LAUNCHER = "launcher"
ALONE_BEATS = 20  # of a rank on another host, without one of its launcher
ABORTED = 71  # a rank's exit status where another one has the message


@dataclass(frozen=True)
class Beat:
    """A rank's sign of life: how many there were, CPU seconds of its work, and what it does."""

    number: int
    cpu_seconds: float
    activity: str


class RankFolder:
    """The folder of one run of a stage."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def meeting(self) -> Path:
        """The file by which the ranks find each other."""
        return self.path / "meeting"

    def scratch(self, rank: int) -> Path:
        """A folder for what this rank must not leave behind."""
        folder = self.path / f"scratch-{rank}"
        folder.mkdir(exist_ok=True)
        return folder

    def errors(self, rank: int) -> Path:
        """What this rank wrote to standard error; rank 0 writes to the launcher's own."""
        return self.path / f"errors-{rank}"

    def beat(self, who: int | str, beat: Beat) -> None:
        """Say that this rank, or the launcher, lives."""
        self._write(f"beat-{who}", f"{beat.number} {beat.cpu_seconds:.3f} {beat.activity}")

    def last_beat(self, who: int | str) -> Beat | None:
        """The newest beat, if there has been one."""
        number, cpu, activity = (self._read(f"beat-{who}") or "0 0 -").split()
        return Beat(int(number), float(cpu), activity) if int(number) else None

    def end(self, rank: int, status: int) -> None:
        """Say how this rank ends."""
        self._write(f"end-{rank}", str(status))

    def ends(self, size: int) -> dict[int, int]:
        """The exit status of each rank that has said so."""
        found = {rank: self._read(f"end-{rank}") for rank in range(size)}
        return {rank: int(status) for rank, status in found.items() if status}

    def mark(self, what: str) -> None:
        """Mark the stage as `failed`, or as `finished` by all ranks' control."""
        self._write(what, "1")

    def is_marked(self, what: str) -> bool:
        """Whether somebody has marked the stage so."""
        return (self.path / what).exists()

    def _write(self, name: str, text: str) -> None:
        part = self.path / f".{name}.{os.getpid()}"
        with suppress(FileNotFoundError):  # the launcher has ended and removed the folder
            part.write_text(text, encoding="utf-8")
            part.replace(self.path / name)

    def _read(self, name: str) -> str:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""


@contextmanager
def new_folder(root: Path) -> Iterator[RankFolder]:
    """A new folder; it is removed when the block ends, and so are those of launchers that were killed."""
    place = root / PLACE
    for other in place.glob("*/held"):
        if not read_lock_file(other):
            shutil.rmtree(other.parent, ignore_errors=True)
    path = place / uuid.uuid4().hex
    try:
        with hold_lock_file(path / "held", {"pid": os.getpid()}):
            yield RankFolder(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def keep_beating(folder: RankFolder, rank: int, activity: Callable[[], str]) -> None:
    """Let a thread of this rank beat, and end it when its launcher is gone or the stage has failed."""
    parent, is_child = os.getppid(), folder.path.exists() and os.getppid() == _launcher_pid(folder)

    def beat() -> None:
        number = alone = 0
        heard = None
        while True:
            number += 1
            folder.beat(rank, Beat(number, time.process_time() - time.thread_time(), activity()))
            now = folder.last_beat(LAUNCHER)
            alone, heard = (alone + 1, heard) if now == heard else (0, now)
            if is_child:
                orphaned = os.getppid() != parent
            else:
                orphaned = alone >= ALONE_BEATS or not folder.path.exists()
            if orphaned or (rank and folder.is_marked("failed")):
                os._exit(ABORTED)
            time.sleep(BEAT_SECONDS)

    threading.Thread(target=beat, name="beat", daemon=True).start()


def _launcher_pid(folder: RankFolder) -> int:
    return int(read_lock_file(folder.path / "held").get("pid", 0))
