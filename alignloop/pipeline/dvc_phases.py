"""Phases of DVC's own work: hashing what a stage reads and makes, and copying it to the cache, by bytes.

DVC draws bars on a terminal, and a flow's log is none. `install` replaces the four functions through which it
hashes and copies; what they do stays the same.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dvc_objects.fs.local
from dvc.output import Output
from dvc_data.hashfile.hash import HashStreamFile
from fsspec.callbacks import Callback

from alignloop import phases


class _Copied(Callback):
    """Counts the bytes of a file that is copied."""

    def relative_update(self, inc: int = 1) -> None:
        super().relative_update(inc)
        phases.advance_bytes(inc)


def install() -> None:
    """Let DVC's work in this process be phases."""
    if getattr(Output, "tells_phases", False):
        return
    output: Any = Output
    output._build = _as_phase("hashing", output._build)
    output.commit = _as_phase("keeping in DVC's cache", output.commit)
    output.tells_phases = True
    stream: Any = HashStreamFile
    stream.read = _read(stream.read)
    local: Any = dvc_objects.fs.local
    local.copyfile = _copy(local.copyfile)


def size_of(path: Path) -> int:
    """Bytes of a file or of all files in a folder; 0 of what does not exist."""
    if not path.is_dir():
        return path.stat().st_size if path.is_file() else 0
    return sum(
        Path(root, name).stat().st_size
        for root, _, files in os.walk(path)
        for name in files
        if Path(root, name).is_file()
    )


def _as_phase(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    def as_phase(self: Any, *arguments: Any, **options: Any) -> Any:
        size = size_of(Path(self.fs_path)) if self.fs.protocol == "local" else None
        with phases.phase(name, size, of=self.def_path, in_bytes=True):
            return work(self, *arguments, **options)

    return as_phase


def _read(read: Callable[..., bytes]) -> Callable[..., bytes]:
    def counted(self: Any, size: int = -1) -> bytes:
        chunk = read(self, size)
        phases.advance_bytes(len(chunk))
        return chunk

    return counted


def _copy(copy: Callable[..., None]) -> Callable[..., None]:
    def counted(source: str, target: str, callback: Callback | None = None) -> None:
        copied = _Copied()
        copy(source, target, callback=copied)
        size = Path(source).stat().st_size
        phases.advance_bytes(max(0, size - copied.value))  # small files are copied at once

    return counted
