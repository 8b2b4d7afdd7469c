"""Reads and writes sets of records: streamed and validated row by row, written completely or not at all.

A set is a JSON Lines file (UTF-8, plain or gzip) or, where that would be larger than LARGE, a folder of
Parquet shards with the same name; only this module decides which, and readers accept both. Lines end with
\\n and nothing else: a raw U+2028 inside a string is content. A faulty record is an error with its place
and the remedy; it is never skipped. Left out: indexes and random access.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from alignloop.data import parquet_shards
from alignloop.data.input_files import DataError, decode_line, open_input, parse_line, read_bytes
from alignloop.data.strict_json import FETCH_AGAIN
from alignloop.files import replacing
from alignloop.records import Record

R = TypeVar("R", bound=Record)
LARGE = 256 * 2**20  # characters of JSON Lines above which a set is sharded; also the size of a shard
PIECE = 2**21  # bytes that are read at a time


def read(path: Path, kind: type[R], allow_empty: bool = False) -> list[R]:
    """All records of a set, or of every set in a directory, by name. Raises DataError for an empty set.

    With `allow_empty` an empty set is an empty list.
    """
    return list(stream(path, kind, allow_empty))


def stream(path: Path, kind: type[R], allow_empty: bool = False) -> Iterator[R]:
    """Like `read`, but yields the records one by one."""
    for piece in pieces(path, kind, allow_empty):
        for _, record in records(piece, kind):
            yield record


class Piece(NamedTuple):
    """Some lines of a file, or one row group of a Parquet shard; any process may parse it."""

    path: Path
    first: int  # the number of its first line
    lines: list[bytes]
    group: int | None = None  # the row group of a shard


def pieces(path: Path, kind: type[Record], allow_empty: bool = False) -> Iterator[Piece]:
    """All files of a set, piece by piece. Raises DataError for an empty set unless `allow_empty`."""
    empty = True
    for file in files(path):
        for piece in file_pieces(file):
            empty = False
            yield piece
    if empty and not allow_empty:
        raise DataError(
            f"{path}: holds no {kind.__name__.lower()}; "
            f"give the stage that writes it some input, or {FETCH_AGAIN}"
        )


def file_pieces(file: Path) -> Iterator[Piece]:
    """One file, piece by piece."""
    first = 1
    if _is_shard(file):
        with _parquet(file):
            for group, rows in enumerate(parquet_shards.group_sizes(file)):
                yield Piece(file, first, [], group)
                first += rows
        return
    with open_input(file) as stream:
        while lines := stream.readlines(PIECE):
            yield Piece(file, first, lines)
            first += len(lines)


def records(piece: Piece, kind: type[R]) -> Iterator[tuple[int, R]]:
    """The records of a piece with their line numbers, each strictly validated against its schema."""
    path = piece.path
    if piece.group is not None:
        yield from (
            (line, _validated(kind, partial(kind.model_validate, row), path, line))
            for line, row in _rows(piece, kind)
        )
        return
    for line, text in _lines(piece):
        parse_line(text, path, line)  # duplicate keys and NaN, which pydantic accepts
        yield line, _validated(kind, partial(kind.model_validate_json, text, strict=True), path, line)


def read_lines(path: Path, kind: type[R]) -> Iterator[tuple[int, R]]:
    """Stream the records of a file with their line numbers."""
    return (numbered for piece in file_pieces(path) for numbered in records(piece, kind))


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Stream the JSON values of a file with their line numbers, without checking a schema."""
    for piece in file_pieces(path):
        if piece.group is not None:
            yield from _rows(piece)
        else:
            yield from ((line, parse_line(text, path, line)) for line, text in _lines(piece))


def parse_unchecked(piece: Piece, kind: type[Record]) -> Iterator[tuple[int, Any, ValidationError | None]]:
    """The JSON values of a piece with their line numbers and, where a value is invalid, the error."""
    if piece.group is not None:
        yield from (
            (line, row, _schema_error(partial(kind.model_validate, row))) for line, row in _rows(piece)
        )
        return
    for line, text in _lines(piece):
        value = parse_line(text, piece.path, line)
        yield line, value, _schema_error(partial(kind.model_validate_json, text, strict=True))


def count(path: Path) -> int:
    """The number of records in a file, without validating them."""
    if _is_shard(path):
        return parquet_shards.count_rows(path)
    with open_input(path) as file:
        return sum(1 for _ in file)


def count_in(folder: Path) -> int:
    """The number of records in all sets of a folder."""
    return sum(map(count, files(folder)))


def remove_records(path: Path, drop: Callable[[Any], bool]) -> int:
    """Rewrite a file without the rows for which `drop` is true; returns how many were removed.

    The other records stay unchanged; of JSON Lines, byte by byte.
    """
    with replacing(path) as part:
        if _is_shard(path):
            return parquet_shards.write_without(path, part, drop)
        removed = 0
        with part.open("wb") as file:
            for line, raw in read_bytes(path):
                if drop(parse_line(decode_line(raw, path, line), path, line)):
                    removed += 1
                else:
                    file.write(raw)
        return removed


def write(path: Path, records: Iterable[Record]) -> int:
    """Write a set, one record a line, and return its size. The set appears completely or not at all."""
    with writing(path) as writer:
        for record in records:
            writer.write(record)
    return writer.count


def write_lines(path: Path, lines: Iterable[str], kind: type[Record]) -> int:
    """Like `write`, from lines that `line_of` has made."""
    with writing(path) as writer:
        for line in lines:
            writer.add(line, kind)
    return writer.count


@contextmanager
def writing(path: Path) -> Iterator[parquet_shards.SetWriter]:
    """A writer of single records; the set appears completely when the block ends, or not at all."""
    with replacing(path) as part, ExitStack() as open:
        yield parquet_shards.SetWriter(part, open, LARGE)


def line_of(record: Record) -> str:
    """The record as a line of JSON, with all fields in order, so that equal records are equal bytes."""
    return record.model_dump_json() + "\n"


def files(path: Path) -> list[Path]:
    """The files of a set, or of every *.jsonl in a directory, by name: each a JSON Lines file or a shard."""
    if not path.is_dir():
        return [path]
    shards = sorted(path.glob("*.parquet"))
    found = shards or [file for each in sorted(path.glob("*.jsonl")) for file in files(each)]
    if not found:
        raise DataError(f"{path}: the directory holds no .jsonl file; {FETCH_AGAIN}")
    return found


def schema_violations(error: ValidationError) -> list[tuple[str, str]]:
    """Every violation in pydantic's error, as (field, message)."""
    # URL, context and input are slow to make
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    return [(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in errors]


def _validated(kind: type[R], make: Callable[[], R], path: Path, line: int) -> R:
    try:
        return make()
    except ValidationError as error:
        violations = "; ".join(
            f"{field or kind.__name__}: {message}" for field, message in schema_violations(error)
        )
        raise DataError(
            f"{path}:{line}: {violations}; "
            f"correct the line (data/README.md shows the schema of {kind.__name__})"
        ) from None


def _schema_error(make: Callable[[], Record]) -> ValidationError | None:
    try:
        make()
    except ValidationError as error:
        return error
    return None


def _is_shard(path: Path) -> bool:
    with open_input(path) as file:
        return file.read(len(parquet_shards.MAGIC)) == parquet_shards.MAGIC


def _rows(piece: Piece, kind: type[Record] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    with _parquet(piece.path):
        yield from enumerate(parquet_shards.read_rows(piece.path, kind, piece.group), piece.first)


@contextmanager
def _parquet(path: Path) -> Iterator[None]:
    """Turn errors of reading Parquet inside the block into a DataError with the remedy."""
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as Parquet: {str(error).strip().splitlines()[0][:200]}; {FETCH_AGAIN}"
        ) from None


def _lines(piece: Piece) -> Iterator[tuple[int, str]]:
    for line, raw in enumerate(piece.lines, piece.first):
        text = decode_line(raw, piece.path, line)
        if not text.strip():
            raise DataError(
                f"{piece.path}:{line}: the line is empty; remove it: each line must hold one JSON object"
            )
        yield line, text
