"""Removes rows from a source in any container; where rows are lines of text, the others stay byte by byte."""

import gzip
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from alignloop.data.formats import arrow, containers, json_array
from alignloop.data.input_files import GZIP, open_input
from alignloop.files import replacing


def one_row_per_line(path: Path) -> bool:
    """Rewrite a JSON array with one element per line, if elements share a line; returns whether they did.

    Rows are identified by the lines that they begin on.
    """
    if path.is_dir() or containers.container_of(path) != "array":
        return False
    with open_input(path) as file:
        lines = [line for line, _ in json_array.elements(file, path, containers.LONGEST)]
    shared = len(set(lines)) < len(lines)
    if shared:
        _write_array(path, set())
    return shared


def remove_rows(path: Path, lines: Collection[int]) -> bool:
    """Rewrite a source without the rows that begin on these lines.

    In Parquet and Arrow, lines are row numbers. A source of which no row is left is deleted; returns whether
    any row is left.
    """
    if all(line in lines for line, _ in containers.read(path)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return False
    container = containers.container_of(path)
    if container in ("dataset", "parquet"):
        with replacing(path) as part:
            (arrow.write_dataset_without if container == "dataset" else arrow.write_parquet_without)(
                path, part, lines
            )
    elif container == "array":
        _write_array(path, lines)
    else:
        # a row of a table may span lines, since a cell may contain line ends
        begins = {line for line, _ in containers.read(path)} if container == "table" else set[int]()
        with open_input(path) as file, _rewriting(path) as part:
            row = 0
            for line, raw in enumerate(file, 1):
                row = line if not begins or line in begins else row
                if row not in lines:
                    part.write(raw)
    return True


def _write_array(path: Path, lines: Collection[int]) -> None:
    with open_input(path) as file, _rewriting(path) as part:
        separator = "[\n"
        for line, text in json_array.elements(file, path, containers.LONGEST):
            if line not in lines:
                part.write(f"{separator}{text}".encode())
                separator = ",\n"
        part.write(b"[]\n" if separator == "[\n" else b"\n]\n")


@contextmanager
def _rewriting(path: Path) -> Iterator[IO[bytes]]:
    """A file that replaces a source when the block ends; compressed if the source was."""
    with path.open("rb") as file:
        zipped = file.read(len(GZIP)) == GZIP
    with replacing(path) as part, part.open("wb") as file:
        if not zipped:
            yield file
            return
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as stream:
            yield cast("IO[bytes]", stream)
