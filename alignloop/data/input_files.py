"""Opens input files, plain or compressed, and decodes their lines; faults are DataErrors with the remedy."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from alignloop.data import compression
from alignloop.data.compression import GZIP
from alignloop.data.encodings import TO_UTF8, BrokenText, as_utf8
from alignloop.data.strict_json import FETCH_AGAIN, InvalidJson, parse_json
from alignloop.errors import LFS_POINTER, AlignloopError


class DataError(AlignloopError):
    """An input file cannot be used; the message names file, line and field, the fault and the remedy."""


def check_folder(folder: Path) -> None:
    """Raise DataError, which names each, if a folder holds what cannot be read to an end, or would not be.

    These are links that lead nowhere, links to folders, which DVC does not follow, pipes and devices.
    A single file is checked like a folder with it.
    """
    faults = []
    if folder.is_dir():
        for root, folders, files in os.walk(folder):
            faults += [_fault(Path(root, name)) for name in sorted((*folders, *files))]
    else:
        faults.append(_fault(folder))
    if named := [fault for fault in faults if fault]:
        raise DataError("\n".join(named))


def link_target(path: Path) -> Path | None:
    """Where a link leads in the end; None for what is no link."""
    return path.resolve() if path.is_symlink() else None


def _fault(path: Path) -> str | None:
    if path.is_symlink() and _is_circle(path):
        return f"{path}: is a link that leads back to itself or to a folder above it; remove it: rm {path}"
    if path.is_symlink() and path.is_dir():
        return (
            f"{path}: is a link to a folder, which DVC does not follow, so its files would be missed; "
            f"copy the folder, or link its files: rm {path}; cp -rs {path.resolve()} {path}"
        )
    if path.is_symlink() and not path.exists():
        return f"{path}: is a link to {path.readlink()}, which does not exist; correct the link or remove it"
    if path.exists() and not (path.is_file() or path.is_dir()):
        return (
            f"{path}: is a pipe, a socket or a device, not a file; remove it, or save its content as a file"
        )
    return None


def _is_circle(path: Path) -> bool:
    try:
        return path.resolve(strict=True) in path.absolute().parents
    except RuntimeError:  # as pathlib reports links in a circle
        return True
    except OSError as error:
        return error.errno == errno.ELOOP


@contextmanager
def open_input(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes, unpacked, as UTF-8 without a byte-order mark. Raises DataError.

    What it is packed with is recognised by content: gzip, bzip2, xz, Zstandard, or a ZIP archive of one file.
    """
    try:
        with path.open("rb") as file:
            head = file.peek(len(LFS_POINTER))
            if head.startswith(LFS_POINTER):
                raise DataError(
                    f"{path}: is a Git LFS pointer, not the data; "
                    "run `git lfs pull` where it came from and copy it again"
                )
            if path.suffix == ".gz" and not head.startswith(GZIP):
                raise DataError(f"{path}: is called .gz but is not gzip; rename it or {FETCH_AGAIN}")
            stream = compression.unpacked(file, head)
            start = cast("Any", stream).peek(compression.LOOKED_AT)
            if kind := compression.kind_of(start):
                raise DataError(f"{path}: is {kind}")
            yield as_utf8(stream, start)
    except BrokenText as error:
        raise DataError(f"{path}: {error}; {FETCH_AGAIN}") from None
    except compression.NotOneFile as error:
        raise DataError(f"{path}: {error}") from None
    except compression.DAMAGED as error:
        kind = compression.name_of(path)
        raise DataError(
            f"{path}: the {kind} stream is truncated or damaged ({error}); {FETCH_AGAIN}"
        ) from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {FETCH_AGAIN}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}; {FETCH_AGAIN}") from None


def read_bytes(path: Path) -> Iterator[tuple[int, bytes]]:
    """Stream the lines of a file, plain or compressed, as bytes with their numbers and line ends."""
    with open_input(path) as file:
        yield from enumerate(file, 1)


def decode_line(raw: bytes, path: Path, line: int) -> str:
    """Decode a line as UTF-8. Raises DataError for other bytes."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{line}: byte {error.start + 1} of the line is not UTF-8; {TO_UTF8}"
        ) from None


def parse_line(text: str, path: Path, line: int) -> Any:
    """Parse a line as strict JSON. Raises DataError with the line's place."""
    try:
        return parse_json(text)
    except InvalidJson as error:
        raise DataError(f"{path}:{line}: {error}") from None
