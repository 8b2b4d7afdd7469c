"""Taking rows out of a source, whatever holds them; the others stay, as they stand where they are lines of text."""

import gzip
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from alignloop.data.formats import arrow, containers, json_array
from alignloop.data.record_files import GZIP, opened
from alignloop.files import replacing


def spread(path: Path) -> bool:
    """Give each element of a JSON array that shares a line with another a line of its own, for rows are told by their lines."""
    if path.is_dir() or containers.container(path) != "array":
        return False
    with opened(path) as file:
        lines = [line for line, _ in json_array.elements(file, path, containers.LONGEST)]
    shared = len(set(lines)) < len(lines)
    if shared:
        _write_array(path, set())
    return shared


def without(path: Path, lines: Collection[int]) -> bool:
    """Write a source anew without the rows that begin on these lines (of Parquet and Arrow: that have these numbers).

    A source of which nothing would be left is removed. Returns whether something is.
    """
    if all(line in lines for line, _ in containers.read(path)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return False
    container = containers.container(path)
    if container in ("dataset", "parquet"):
        with replacing(path) as part:
            (arrow.dataset_without if container == "dataset" else arrow.parquet_without)(path, part, lines)
    elif container == "array":
        _write_array(path, lines)
    else:
        begun = (
            {line for line, _ in containers.read(path)} if container == "table" else set[int]()
        )  # a cell may hold line ends
        with opened(path) as file, _rewriting(path) as part:
            row = 0
            for line, raw in enumerate(file, 1):
                row = line if not begun or line in begun else row
                if row not in lines:
                    part.write(raw)
    return True


def _write_array(path: Path, lines: Collection[int]) -> None:
    with opened(path) as file, _rewriting(path) as part:
        between = "[\n"
        for line, text in json_array.elements(file, path, containers.LONGEST):
            if line not in lines:
                part.write(f"{between}{text}".encode())
                between = ",\n"
        part.write(b"[]\n" if between == "[\n" else b"\n]\n")


@contextmanager
def _rewriting(path: Path) -> Iterator[IO[bytes]]:
    """A file to write in place of a source; gzip where that was gzip."""
    with path.open("rb") as file:
        zipped = file.read(len(GZIP)) == GZIP
    with replacing(path) as part, part.open("wb") as file:
        if not zipped:
            yield file
            return
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as stream:
            yield cast("IO[bytes]", stream)
