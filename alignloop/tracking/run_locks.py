"""Who is still at work: a file per open run, locked. The kernel drops the lock when its process ends, however it ends."""

import fcntl
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alignloop.errors import AlignloopError


class ClaimError(AlignloopError):
    """What is at work cannot be noted; the message names the folder and the remedy."""


@contextmanager
def claim(folder: Path) -> Iterator[Callable[[str], None]]:
    """Hold a locked file in `folder` while the block runs, and yield what notes in it what is held. It stays until it is settled."""
    hidden = folder / f".{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = hidden.open("w", encoding="utf-8")
    except OSError as error:
        raise ClaimError(
            f"{folder}: cannot be written: {error.strerror}; make it writable and run again"
        ) from None
    with opened as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        hidden.rename(folder / hidden.name[1:])  # others see it only now that it is locked

        def note(text: str) -> None:
            stream.write(text)
            stream.flush()

        yield note


def settle_abandoned(folder: Path, settle: Callable[[str], bool]) -> None:
    """Show `settle` what each process that has ended held; what it could settle is forgotten, the rest kept for the next time."""
    for place in folder.glob("[!.]*"):
        with place.open(encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # its process lives
            if settle(stream.read()):
                place.unlink(missing_ok=True)
