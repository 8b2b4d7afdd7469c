"""Streams the rows of a source from its container: JSON Lines, a JSON array, CSV, Parquet or a saved dataset.

Each row comes with the line it begins on (in Parquet and Arrow: its number); memory does not grow with
the file. A row that cannot be read is refused and reading continues; a fault after which no next row can
be found is a DataError. Containers, plain or compressed, are recognised by content, except tables, which
must be called .csv, .tsv or .tab. An array may be the value of one key of an object.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal

from alignloop.data.compression import suffixes
from alignloop.data.encodings import TO_UTF8
from alignloop.data.formats import arrow, json_array
from alignloop.data.formats.refused_rows import LONGEST, Refused
from alignloop.data.input_files import DataError, open_input
from alignloop.data.record_files import PIECE, Piece
from alignloop.data.strict_json import InvalidJson, parse_json

TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
DELIMITERS = (",", ";", "\t", "|")  # the first wins where several make as many columns
SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
# an escaped surrogate pair, or any other escape
WHOLE = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]|\\(?!u[dD][89a-fA-F]).")


EMPTY = Refused("an empty line")
NumberedRow = tuple[int, Any]  # the line, and the value or Refused
Container = Literal["dataset", "parquet", "table", "array", "lines"]


def read(path: Path) -> Iterator[NumberedRow]:
    """Stream a source's rows with their lines. Raises DataError if reading cannot continue."""
    return READERS[container_of(path)](path)


def container_of(path: Path) -> Container:
    """The container of a source's rows. Raises DataError if the file cannot be read."""
    if path.is_dir():
        return "dataset"
    with open_input(path) as file:
        start = file.readline(LONGEST)
        second = file.readline(LONGEST)
    if start.startswith(arrow.PARQUET):
        return "parquet"
    opening = start.lstrip()[:1]
    if suffixes(path) & TABLES.keys() and opening not in (b"{", b"["):
        return "table"
    arrays = start.rstrip().endswith(b"]") and second.lstrip().startswith(b"[")  # one array per line
    if opening == b"{" and json_array.is_wrapped(path):
        return "array"
    return "array" if opening == b"[" and not arrays else "lines"


def _lines(path: Path) -> Iterator[NumberedRow]:
    with open_input(path) as file:
        for line, raw in _without_empty_end(_bounded(file)):
            yield line, _value(raw)


def line_pieces(path: Path) -> Iterator[Piece]:
    """The lines of a JSON Lines source in pieces, which any process may parse."""
    with open_input(path) as file:
        lines = list[bytes]()
        first, size = 1, 0
        for line, raw in _without_empty_end(_bounded(file)):
            lines.append(raw)
            size += len(raw)
            if size >= PIECE:
                yield Piece(path, first, lines)
                lines = []
                first, size = line + 1, 0
        if lines:
            yield Piece(path, first, lines)


def piece_rows(piece: Piece) -> Iterator[NumberedRow]:
    """The rows of a piece from `line_pieces`."""
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


def _without_empty_end(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The lines but for empty ones at the end, which editors leave there."""
    empty = list[tuple[int, bytes]]()
    for line, raw in lines:
        if raw.isspace():
            empty.append((line, raw))
            continue
        yield from empty
        empty.clear()
        yield line, raw


def _array(path: Path) -> Iterator[NumberedRow]:
    with open_input(path) as file:
        for line, text in json_array.elements(file, path, LONGEST):
            yield line, _viewed(_json(text))


def _viewed(value: Any) -> Any:
    """The row in an element of the Hub's dataset viewer, or the element itself."""
    return value["row"] if isinstance(value, dict) and value.keys() >= {"row_idx", "row"} else value


def _json(text: str) -> Any:
    try:
        value = parse_json(text)
    except InvalidJson as error:
        return Refused(error.reason)
    # only an escape can be half a surrogate pair: UTF-8 has none
    escaped = "\\" in text and ("\\ud" in text or "\\uD" in text)
    return Refused("half a surrogate pair") if escaped and "\\" in WHOLE.sub("", text) else value


def _table(path: Path) -> Iterator[NumberedRow]:
    csv.field_size_limit(LONGEST)
    delimiter = _delimiter(path)
    empty = list[int]()  # lines without any content, which count only if a row follows
    with open_input(path) as file:
        cells = csv.reader(_texts(file, path), delimiter=delimiter, strict=True)
        header: list[str] | None = None
        line = 1
        while True:
            try:
                row = next(cells, None)
            except csv.Error as error:
                raise DataError(
                    f"{path}:{line}: not valid CSV from here on: {error}; "
                    "quote cells as RFC 4180 requires, or fetch the file again"
                ) from None
            if row is None:
                return
            if header is None and SEPARATOR.fullmatch(delimiter.join(row)):
                pass  # Excel's first line, sep=;
            elif header is None:
                header = _header(row)
                if len(set(header)) < len(header):
                    raise DataError(f"{path}:1: two columns have the same name; rename one")
            elif not any(row):
                empty.append(line)
            elif len(row) != len(header):
                yield from ((number, EMPTY) for number in empty)
                empty.clear()
                yield line, Refused("more or fewer cells than there are columns")
            else:
                yield from ((number, EMPTY) for number in empty)
                empty.clear()
                yield line, dict(zip(header, row, strict=True))
            line = cells.line_num + 1


def _header(cells: list[str]) -> list[str]:
    """The names of a table's columns; the nameless first one of pandas is the index."""
    return [
        cell.strip() or ("index" if place == 1 else f"column {place}") for place, cell in enumerate(cells, 1)
    ]


def _delimiter(path: Path) -> str:
    """What separates the cells: as the name says, or the sign that makes most columns of the first line."""
    if {".tsv", ".tab"} & suffixes(path):
        return "\t"
    with open_input(path) as file:
        first = file.readline(LONGEST).decode(errors="replace")
    if stated := SEPARATOR.fullmatch(first.strip("\r\n")):
        return stated[1]
    try:
        return max(DELIMITERS, key=lambda sign: len(next(csv.reader([first], delimiter=sign), [])))
    except csv.Error:
        return TABLES[".csv"]


def _texts(file: IO[bytes], path: Path) -> Iterator[str]:
    for line, raw in _bounded(file):
        if len(raw) > LONGEST or b"\0" in raw:
            raise DataError(
                f"{path}:{line}: a line of more than {LONGEST >> 20} MiB, or with NUL bytes: not CSV; "
                "fetch the file again"
            )
        try:
            yield raw.decode()
        except UnicodeDecodeError:
            raise DataError(f"{path}:{line}: not UTF-8; {TO_UTF8}") from None


def _bounded(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers; of a line that is too long, the first LONGEST + 1 bytes."""
    line = 0
    while raw := file.readline(LONGEST + 1):
        line += 1
        yield line, raw
        while len(raw) > LONGEST and not raw.endswith(b"\n"):
            raw = file.readline(LONGEST + 1)


READERS: dict[Container, Callable[[Path], Iterator[NumberedRow]]] = {
    "dataset": arrow.dataset_rows,
    "parquet": arrow.parquet_rows,
    "table": _table,
    "array": _array,
    "lines": _lines,
}
