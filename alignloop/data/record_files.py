"""Sets of records on disk: read as streams and checked row by row, written whole or not at all.

A set is a file of JSON Lines (UTF-8, plain or gzip) or, where that would be larger than LARGE, a folder of Parquet shards of the same
name; this file alone decides, and readers take both. Lines end with \\n and with nothing else: a raw U+2028 inside a string is
content. What is not in the format is refused with its place and the remedy, never skipped. Left out: indexes and random access.
"""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar, cast

from pydantic import ValidationError

from alignloop.data import parquet_shards
from alignloop.data.strict_json import FETCH_AGAIN, Broken, value_of
from alignloop.errors import LFS_POINTER, AlignloopError
from alignloop.files import replacing
from alignloop.records import Record, Split

R = TypeVar("R", bound=Record)
GZIP = b"\x1f\x8b"
LARGE = 256 * 2**20  # characters of JSON Lines above which a set is sharded; the size of a shard as well
PIECE = 2**21  # bytes that are read at a time


class DataError(AlignloopError):
    """A file of records cannot be used: the message names file, line and field, what is wrong, and the remedy."""


def read(path: Path, kind: type[R], allow_empty: bool = False) -> list[R]:
    """All records of a set, or of every set in a directory by name; none at all is an error unless `allow_empty`."""
    return list(stream(path, kind, allow_empty))


def stream(path: Path, kind: type[R], allow_empty: bool = False) -> Iterator[R]:
    """The records that `read` gives, one by one."""
    for piece in pieces(path, kind, allow_empty):
        for _, record in records(piece, kind):
            yield record


class Piece(NamedTuple):
    """Some lines of a file, or a group of rows of a shard, to be read wherever that is done."""

    path: Path
    first: int  # the number of its first line
    lines: list[bytes]
    group: int | None = None


def pieces(path: Path, kind: type[Record], allow_empty: bool = False) -> Iterator[Piece]:
    """All files of a set, piece by piece; none at all is an error unless `allow_empty`."""
    empty = True
    for file in files(path):
        for piece in pieces_of(file):
            empty = False
            yield piece
    if empty and not allow_empty:
        raise DataError(
            f"{path}: holds no {kind.__name__.lower()}; give the stage that makes it something to work on, or {FETCH_AGAIN}"
        )


def pieces_of(file: Path) -> Iterator[Piece]:
    """One file, piece by piece."""
    first = 1
    if _is_shard(file):
        with _parquet(file):
            for group, rows in enumerate(parquet_shards.groups(file)):
                yield Piece(file, first, [], group)
                first += rows
        return
    with opened(file) as stream:
        while lines := stream.readlines(PIECE):
            yield Piece(file, first, lines)
            first += len(lines)


def records(piece: Piece, kind: type[R]) -> Iterator[tuple[int, R]]:
    """The records of a piece with their line numbers, each checked strictly against its schema."""
    path = piece.path
    if piece.group is not None:
        yield from (
            (line, _made(kind, partial(kind.model_validate, row), path, line))
            for line, row in _rows(piece, kind)
        )
        return
    for line, text in _lines(piece):
        _parse(text, path, line)  # duplicate keys and NaN, which pydantic lets pass
        yield line, _made(kind, partial(kind.model_validate_json, text, strict=True), path, line)


def read_lines(path: Path, kind: type[R]) -> Iterator[tuple[int, R]]:
    """Stream the records of a file with their line numbers."""
    return (found for piece in pieces_of(path) for found in records(piece, kind))


def _made(kind: type[R], make: Callable[[], R], path: Path, line: int) -> R:
    try:
        return make()
    except ValidationError as error:
        breaches = "; ".join(f"{field or kind.__name__}: {message}" for field, message in breaches_of(error))
        raise DataError(
            f"{path}:{line}: {breaches}; correct the line (data/README.md shows the schema of {kind.__name__})"
        ) from None


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Stream the JSON values of a file with their line numbers, whatever their schema."""
    for piece in pieces_of(path):
        if piece.group is not None:
            yield from _rows(piece)
        else:
            yield from ((line, _parse(text, path, line)) for line, text in _lines(piece))


def examine(piece: Piece, kind: type[Record]) -> Iterator[tuple[int, Any, ValidationError | None]]:
    """The JSON values of a piece with their line numbers, each with its breaches of a schema where it has any."""
    if piece.group is not None:
        yield from ((line, row, _breach(partial(kind.model_validate, row))) for line, row in _rows(piece))
        return
    for line, text in _lines(piece):
        yield (
            line,
            _parse(text, piece.path, line),
            _breach(partial(kind.model_validate_json, text, strict=True)),
        )


def _breach(make: Callable[[], Record]) -> ValidationError | None:
    try:
        make()
    except ValidationError as error:
        return error
    return None


def count(path: Path) -> int:
    """How many records a file holds, unchecked."""
    if _is_shard(path):
        return parquet_shards.count(path)
    with opened(path) as file:
        return sum(1 for _ in file)


def without(path: Path, drop: Callable[[Any], bool]) -> int:
    """Take records out of a file, the others as they stand, byte by byte where they are lines. Returns how many went."""
    with replacing(path) as part:
        if _is_shard(path):
            return parquet_shards.without(path, part, drop)
        gone = 0
        with part.open("wb") as file:
            for line, raw in _raw_lines(path):
                if drop(_parse(_decode(raw, path, line), path, line)):
                    gone += 1
                else:
                    file.write(raw)
        return gone


def read_text(path: Path) -> Iterator[tuple[int, str]]:
    """Stream the lines of a UTF-8 text file, plain or gzip, with their numbers and without their ends."""
    for line, raw in _raw_lines(path):
        yield line, _decode(raw, path, line).rstrip("\r\n")


def write(path: Path, records: Iterable[Record]) -> int:
    """Write a set, one record a line, in their fields' order; it appears whole or not at all. Returns how many they are."""
    with writing(path) as writer:
        for record in records:
            writer.write(record)
    return writer.count


def write_lines(path: Path, lines: Iterable[str], kind: type[Record]) -> int:
    """Write a set of lines that `line_of` made."""
    with writing(path) as writer:
        for line in lines:
            writer.add(line, kind)
    return writer.count


@contextmanager
def writing(path: Path) -> Iterator[parquet_shards.Writer]:
    """A set to write records into, one by one; it appears whole when the block ends, or not at all."""
    with replacing(path) as part, ExitStack() as open:
        yield parquet_shards.Writer(part, open, LARGE)


def line_of(record: Record) -> str:
    """The record's line, end included: fields in their order, none left out, so that equal records are equal bytes."""
    return record.model_dump_json() + "\n"


def files(path: Path) -> list[Path]:
    """The files of a set: the file itself, or its shards; of a directory, those of every *.jsonl in it; by name."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.parquet")) or [
        file for each in sorted(path.glob("*.jsonl")) for file in files(each)
    ]
    if not found:
        raise DataError(f"{path}: the directory holds no .jsonl file; {FETCH_AGAIN}")
    return found


def split_of(user: str, valid: float, test: float) -> Split:
    """The split of everything one user wrote: by a hash of the id alone, so that it stays when other users come."""
    share = int.from_bytes(blake2b(user.encode(), digest_size=7).digest(), "big") / 2**56
    return "test" if share < test else "valid" if share < test + valid else "train"


def breaches_of(error: ValidationError) -> list[tuple[str, str]]:
    """Every breach pydantic saw, as (field, sentence)."""
    errors = error.errors(
        include_url=False, include_context=False, include_input=False
    )  # which are slow to make
    return [(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in errors]


def _is_shard(path: Path) -> bool:
    with opened(path) as file:
        return file.read(len(parquet_shards.MAGIC)) == parquet_shards.MAGIC


def _rows(piece: Piece, kind: type[Record] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    with _parquet(piece.path):
        yield from enumerate(parquet_shards.rows(piece.path, kind, piece.group), piece.first)


@contextmanager
def _parquet(path: Path) -> Iterator[None]:
    """While the block reads Parquet, what is wrong with it becomes a DataError with the remedy."""
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as Parquet: {str(error).strip().splitlines()[0][:200]}; {FETCH_AGAIN}"
        ) from None


def _lines(piece: Piece) -> Iterator[tuple[int, str]]:
    for line, raw in enumerate(piece.lines, piece.first):
        text = _decode(raw, piece.path, line)
        if not text.strip():
            raise DataError(
                f"{piece.path}:{line}: the line is empty; remove it: one JSON object stands on each line"
            )
        yield line, text


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, plain or gzip by content, to read; what stands in the way becomes a DataError with the remedy."""
    try:
        with path.open("rb") as file:
            head = file.peek(len(LFS_POINTER))
            if head.startswith(LFS_POINTER):
                raise DataError(
                    f"{path}: is a Git LFS pointer, not the data; run `git lfs pull` where it came from and copy it again"
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


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with opened(path) as file:
        yield from enumerate(file, 1)


def _decode(raw: bytes, path: Path, line: int) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{line}: byte {error.start + 1} of the line is not UTF-8; convert the file with `iconv -t UTF-8`"
        ) from None
    if line == 1 and text.startswith("\ufeff"):
        raise DataError(f"{path}:1: starts with a byte-order mark; save the file as UTF-8 without one")
    return text


def _parse(text: str, path: Path, line: int) -> Any:
    try:
        return value_of(text)
    except Broken as error:
        raise DataError(f"{path}:{line}: {error}") from None
