"""Atomic writes: a file or folder appears under its name complete, or not at all."""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from alignloop.errors import AlignloopError

UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}


_diverted: Path | None = None
_moments = count()  # one file may be written within another of the same name


class WriteError(AlignloopError):
    """A file could not be written; a file that had its name before is unchanged."""


def divert(folder: Path | None) -> None:
    """Let this process write nothing that stays: what it would write goes into this folder, for a moment.

    The ranks of a stage but the first run the same code as the first, which writes. None: write again.
    """
    global _diverted
    _diverted = folder


def diverted() -> Path | None:
    """The folder of what this process writes for a moment; None where it writes files that stay."""
    return _diverted


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a file or folder, which replaces `path` if the block ends without error."""
    if _diverted is not None:
        with _for_a_moment(_diverted / f"{next(_moments)}-{path.name}") as part:
            yield part
        return
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _discard(part)  # left by a run that was killed
        yield part
        if path.is_dir() or part.is_dir():
            _discard(path)
        part.replace(path)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        remedy = (
            "free some space there"
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
            else "make it writable"
        )
        raise WriteError(
            f"{path}: cannot be written: {os.strerror(error.errno)}; {remedy} and run again: "
            "nothing was replaced"
        ) from error
    finally:
        _discard(part)


@contextmanager
def _for_a_moment(path: Path) -> Iterator[Path]:
    try:
        _discard(path)
        yield path
    finally:
        _discard(path)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield a new folder for temporary files; it is removed when the block ends."""
    try:
        _discard(path)
        path.mkdir(parents=True)
        yield path
    finally:
        _discard(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a small JSON file whose bytes depend on its content only. NaN, which is not JSON, is refused."""
    with replacing(path) as part:
        part.write_text(
            json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


def rounded(value: Any) -> Any:
    """Return the value with all floats rounded to six decimals, for people to read and git to compare."""
    if isinstance(value, Mapping):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return round(value, 6) if isinstance(value, float) else value


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
