"""Opens input files, plain or gzip, and decodes their lines; faults are DataErrors with the remedy."""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from alignloop.data.strict_json import FETCH_AGAIN, InvalidJson, parse_json
from alignloop.errors import LFS_POINTER, AlignloopError

GZIP = b"\x1f\x8b"


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


def _fault(path: Path) -> str | None:
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


@contextmanager
def open_input(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes, decompressing gzip, which is recognised by content. Raises DataError."""
    try:
        with path.open("rb") as file:
            head = file.peek(len(LFS_POINTER))
            if head.startswith(LFS_POINTER):
                raise DataError(
                    f"{path}: is a Git LFS pointer, not the data; "
                    "run `git lfs pull` where it came from and copy it again"
                )
            zipped = head.startswith(GZIP)
            if path.suffix == ".gz" and not zipped:
                raise DataError(f"{path}: is called .gz but is not gzip; rename it or {FETCH_AGAIN}")
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if zipped else file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip stream is truncated or damaged ({error}); {FETCH_AGAIN}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {FETCH_AGAIN}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; {FETCH_AGAIN}") from None


def read_bytes(path: Path) -> Iterator[tuple[int, bytes]]:
    """Stream the lines of a file, plain or gzip, as bytes with their numbers and line ends."""
    with open_input(path) as file:
        yield from enumerate(file, 1)


def decode_line(raw: bytes, path: Path, line: int) -> str:
    """Decode a line as UTF-8. Raises DataError for other bytes, and for a byte-order mark."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{line}: byte {error.start + 1} of the line is not UTF-8; "
            "convert the file with `iconv -t UTF-8`"
        ) from None
    if line == 1 and text.startswith("\ufeff"):
        raise DataError(f"{path}:1: starts with a byte-order mark; save the file as UTF-8 without one")
    return text


def parse_line(text: str, path: Path, line: int) -> Any:
    """Parse a line as strict JSON. Raises DataError with the line's place."""
    try:
        return parse_json(text)
    except InvalidJson as error:
        raise DataError(f"{path}:{line}: {error}") from None
