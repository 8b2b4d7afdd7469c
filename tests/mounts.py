"""A process with file systems of its own: a disk that is full, a folder that is read-only, as the kernel has
them and for it alone.
"""

import ctypes
import os
from collections.abc import Callable
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

NEW_MOUNTS, NEW_USER = 0x00020000, 0x10000000
READ_ONLY = 1
REMOUNT = 32
BIND = 4096
REC = 16384
PRIVATE = 1 << 18


def told_by(work: Callable[[], object]) -> str:
    """What a forked process says that does this work where it may mount what it likes: its result's words,
    or its error's.
    """
    here, there = Pipe()
    process = get_context("fork").Process(target=_work, args=(work, there))
    process.start()
    there.close()
    try:
        told = here.recv()
    finally:
        process.join()
    if told is None:
        pytest.skip(
            "no file systems of one's own here: neither root, nor a kernel that lets users have name spaces"
        )
    return told


def small_disk(place: Path, kilobytes: int) -> None:
    """Put a disk of this size in the folder's place, or give the one that is there another size."""
    place.mkdir(parents=True, exist_ok=True)
    _mount("tmpfs", place, "tmpfs", REMOUNT if place.is_mount() else 0, f"size={kilobytes}k")


def read_only(place: Path) -> None:
    """Let nobody write into the folder."""
    _mount(str(place), place, "", BIND, "")
    _mount(str(place), place, "", BIND | REMOUNT | READ_ONLY, "")


def _work(work: Callable[[], object], told: Connection) -> None:
    try:
        user = os.geteuid()
        if _libc().unshare(NEW_MOUNTS | (NEW_USER if user else 0)):
            told.send(None)
            return
        if user:
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        _mount("none", Path("/"), "", REC | PRIVATE, "")
        told.send(str(work()))
    except BaseException as error:
        told.send(f"{type(error).__name__}: {error}")


def _mount(source: str, place: Path, kind: str, flags: int, options: str) -> None:
    if _libc().mount(source.encode(), str(place).encode(), kind.encode(), flags, options.encode()):
        raise OSError(ctypes.get_errno(), f"cannot mount {place}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
