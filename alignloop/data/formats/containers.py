"""The rows of a source, whatever holds them: JSON Lines, a JSON array, CSV, Parquet, or a Hugging Face dataset on disk.

Rows stream by, each with the line it begins on (in Parquet and Arrow: its number), so that memory does not grow with the file. A
row that cannot be read is refused and the next one is read; what leaves no next row to be found is a DataError. Files are plain or
gzip by content, and told apart by content but for tables, which are called .csv or .tsv.
"""

import codecs
import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from alignloop.data.formats import arrow, json_array
from alignloop.data.record_files import PIECE, Broken, DataError, Piece, opened, value_of

LONGEST = 16 * 2**20  # bytes of one row; the longest of the public sets have some hundred thousand
TABLES = {".csv": ",", ".tsv": "\t"}
WHOLE = re.compile(
    r"\\u[dD][89abAB]..\\u[dD][c-fC-F]|\\(?!u[dD][89a-fA-F])."
)  # an escaped surrogate pair, or any other escape
MARKS = {
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class Refused(NamedTuple):
    """What the source holds and cannot be used; reasons are counted, so they quote no content."""

    reason: str


EMPTY = Refused("an empty line")
Row = tuple[int, Any]  # the line and the value, or Refused
Container = Literal["dataset", "parquet", "table", "array", "lines"]


def read(path: Path) -> Iterator[Row]:
    """Stream a source's rows with their lines. Raises DataError where nothing can be read."""
    return READERS[container(path)](path)


def container(path: Path) -> Container:
    """What holds the rows of a source. Raises DataError where nothing can be read."""
    if path.is_dir():
        return "dataset"
    with opened(path) as file:
        start = file.readline(LONGEST)
        more = file.readline(LONGEST)
    if start.startswith(arrow.PARQUET):
        return "parquet"
    if mark := next((mark for mark in MARKS if start.startswith(mark)), None):
        convert = (
            "save the file as UTF-8 without one"
            if mark == codecs.BOM_UTF8
            else f"convert it with `iconv -f {MARKS[mark]} -t UTF-8`"
        )
        raise DataError(f"{path}:1: starts with a byte-order mark of {MARKS[mark]}; {convert}")
    opening = start.lstrip()[:1]
    if set(path.suffixes) & TABLES.keys() and opening not in (b"{", b"["):
        return "table"
    arrays = start.rstrip().endswith(b"]") and more.lstrip().startswith(b"[")  # one a line
    return "array" if opening == b"[" and not arrays else "lines"


def _lines(path: Path) -> Iterator[Row]:
    with opened(path) as file:
        for line, raw in _bounded(file):
            yield line, _value(raw)


def pieces(path: Path) -> Iterator[Piece]:
    """The lines of a source, some at a time, to be read wherever that is done."""
    with opened(path) as file:
        first, lines, size = 1, list[bytes](), 0
        for line, raw in _bounded(file):
            lines.append(raw)
            size += len(raw)
            if size >= PIECE:
                yield Piece(path, first, lines)
                first, lines, size = line + 1, [], 0
        if lines:
            yield Piece(path, first, lines)


def of(piece: Piece) -> Iterator[Row]:
    """The rows of such a piece."""
    return ((line, _value(raw)) for line, raw in enumerate(piece.lines, piece.first))


def _value(raw: bytes) -> Any:
    if len(raw) > LONGEST:
        return Refused(f"a line of more than {LONGEST >> 20} MiB")
    if raw.isspace():
        return EMPTY
    if b"\0" in raw:
        return Refused("NUL bytes: not UTF-8, or no text")
    try:
        return _json(raw.decode())
    except UnicodeDecodeError:
        return Refused("not UTF-8")


def _array(path: Path) -> Iterator[Row]:
    with opened(path) as file:
        for line, text in json_array.elements(file, path, LONGEST):
            yield line, _json(text)


def _json(text: str) -> Any:
    try:
        value = value_of(text)
    except Broken as error:
        return Refused(error.reason)
    escaped = "\\" in text and (
        "\\ud" in text or "\\uD" in text
    )  # only an escape can be half a pair: UTF-8 knows none
    return Refused("half a surrogate pair") if escaped and "\\" in WHOLE.sub("", text) else value


def _table(path: Path) -> Iterator[Row]:
    delimiter = next(TABLES[suffix] for suffix in path.suffixes if suffix in TABLES)
    csv.field_size_limit(LONGEST)
    with opened(path) as file:
        cells = csv.reader(_texts(file, path), delimiter=delimiter, strict=True)
        header: list[str] | None = None
        line = 1
        while True:
            try:
                row = next(cells, None)
            except csv.Error as error:
                raise DataError(
                    f"{path}:{line}: no CSV from here on: {error}; quote cells as RFC 4180 says, or fetch the file again"
                ) from None
            if row is None:
                return
            if header is None:
                header = row
                if len(set(header)) < len(header):
                    raise DataError(f"{path}:1: two columns have one name; rename one")
            elif not row:
                yield line, EMPTY
            elif len(row) != len(header):
                yield line, Refused("more or fewer cells than there are columns")
            else:
                yield line, dict(zip(header, row, strict=True))
            line = cells.line_num + 1


def _texts(file: IO[bytes], path: Path) -> Iterator[str]:
    for line, raw in _bounded(file):
        if len(raw) > LONGEST or b"\0" in raw:
            raise DataError(
                f"{path}:{line}: a line of more than {LONGEST >> 20} MiB, or NUL bytes in it: no CSV; fetch the file again"
            )
        try:
            yield raw.decode()
        except UnicodeDecodeError:
            raise DataError(f"{path}:{line}: not UTF-8; convert the file with `iconv -t UTF-8`") from None


def _bounded(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers; of one that is too long, no more than shows that it is."""
    line = 0
    while raw := file.readline(LONGEST + 1):
        line += 1
        yield line, raw
        while len(raw) > LONGEST and not raw.endswith(b"\n"):
            raw = file.readline(LONGEST + 1)


READERS: dict[Container, Callable[[Path], Iterator[Row]]] = {
    "dataset": arrow.dataset,
    "parquet": arrow.parquet,
    "table": _table,
    "array": _array,
    "lines": _lines,
}
