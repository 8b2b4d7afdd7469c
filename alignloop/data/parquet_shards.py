"""Writes and reads the Parquet shards of a large set: JSON lines in, the same rows out as from JSON Lines.

The Arrow schema follows the record type. Objects without fixed fields (`key`, ratings) are stored as JSON
text and marked so in the schema. With one version of pyarrow, equal lines in equal order give equal
bytes. Left out: statistics and dictionaries, since every reader here reads all rows.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from types import TracebackType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from alignloop.records import Record

MAGIC = b"PAR1"
GROUP = 8 * 2**20  # characters of JSON in a row group, which is held in memory
AHEAD = 2  # row groups that are converted or written at a time
ROWS = 1000  # rows that are read at a time
JSON_TEXT = {b"alignloop": b"json"}  # metadata of a field that holds JSON text
SCALARS = {str: "string", int: "int64", float: "float64", bool: "bool_"}
WRITTEN: dict[str, Any] = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}


class ShardWriter:
    """Writes a folder of shards, each of about `size` bytes of content.

    While a group of lines is collected, one thread converts the group before it into a table, and another
    thread writes the group before that.
    """

    def __init__(self, folder: Path, kind: type[Record], size: int) -> None:
        folder.mkdir()
        self._folder, self._size = folder, size
        self._schema, self._pack = schema_of(kind), _packer(schema_of(kind))
        self._lines: list[str] = []
        self._file: Any = None
        self._collected = 0  # characters of the lines of this group
        self._written = 0  # bytes of this shard
        self._count = 0  # shards
        self._converting, self._writing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._pending = deque[Future[None]]()

    def write(self, line: str) -> None:
        """Add a record's line."""
        self._lines.append(self._pack(line) if self._pack else line)
        self._collected += len(line)
        if self._collected >= GROUP:
            self._flush()

    def _flush(self) -> None:
        while len(self._pending) >= AHEAD:
            self._pending.popleft().result()  # raises the error of that group
        table = self._converting.submit(self._table, self._lines)
        self._pending.append(self._writing.submit(self._write, table))
        self._lines, self._collected = [], 0

    def _table(self, lines: list[str]) -> Any:
        from pyarrow.json import ParseOptions, ReadOptions, read_json

        text = "".join(lines).encode()
        # all lines in one block, however long
        read = ReadOptions(use_threads=False, block_size=len(text) + 1)
        parse = ParseOptions(explicit_schema=self._schema, unexpected_field_behavior="error")
        return read_json(BytesIO(text), read, parse)

    def _write(self, table_future: Future[Any]) -> None:
        from pyarrow.parquet import ParquetWriter

        table = table_future.result()
        if self._file is None:
            self._file = ParquetWriter(self._folder / f"{self._count:05d}.parquet", self._schema, **WRITTEN)
            self._count += 1
        self._file.write_table(table)
        self._written += table.nbytes
        if self._written >= self._size:
            self._end()

    def _end(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._written = None, 0

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._lines:
                    self._flush()
                while self._pending:
                    self._pending.popleft().result()
        finally:
            self._converting.shutdown(cancel_futures=True)
            self._writing.shutdown(cancel_futures=True)
            self._end()


class SetWriter:
    """Writes a set as JSON Lines, and turns it into shards of `large` characters once it outgrows one."""

    def __init__(self, place: Path, open: ExitStack, large: int) -> None:
        self.count = 0
        self._place, self._open = place, open
        self._large, self._size = large, 0
        self._shards: ShardWriter | None = None
        self._file = open.enter_context(place.open("w", encoding="utf-8", newline="\n"))

    def write(self, record: Record) -> None:
        """Add a record."""
        self.add(record.model_dump_json() + "\n", type(record))

    def add(self, line: str, kind: type[Record]) -> None:
        """Add a record of this type as a line of JSON with its end."""
        self.count += 1
        self._size += len(line)
        if self._shards is None and self._size > self._large:
            self._grow(kind)
        if self._shards:
            self._shards.write(line)
        else:
            self._file.write(line)

    def _grow(self, kind: type[Record]) -> None:
        """Turn the lines written so far into shards."""
        self._file.close()
        lines = self._place.with_name(f"{self._place.name}.lines")
        self._place.rename(lines)
        self._shards = self._open.enter_context(ShardWriter(self._place, kind, self._large))
        with lines.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                self._shards.write(line)
        lines.unlink()


def read_rows(
    path: Path, kind: type[Record] | None = None, group: int | None = None
) -> Iterator[dict[str, Any]]:
    """Stream the rows of a shard, or of one row group.

    Raises ValueError if its schema is not that of `kind`.
    """
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        if kind and not file.schema_arrow.equals(schema_of(kind)):
            raise ValueError(f"its columns are not those of a {kind.__name__}")
        unpack = _unpacker(file.schema_arrow)
        for batch in file.iter_batches(ROWS, None if group is None else [group]):
            # offsets in damaged bytes may point anywhere: reading there would crash
            batch.validate(full=True)
            for row in batch.to_pylist():
                yield unpack(row) if unpack else row


def group_sizes(path: Path) -> Iterator[int]:
    """The number of rows of each row group of a shard."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        yield from (file.metadata.row_group(place).num_rows for place in range(file.num_row_groups))


def write_without(path: Path, part: Path, drop: Callable[[dict[str, Any]], bool]) -> int:
    """Write a shard into `part` without the rows for which `drop` is true; returns how many were dropped."""
    from pyarrow import array
    from pyarrow.parquet import ParquetFile, write_table

    keep = [not drop(row) for row in read_rows(path)]
    with ParquetFile(path) as file:
        write_table(file.read().filter(array(keep)), part, **WRITTEN)
    return keep.count(False)


def count_rows(path: Path) -> int:
    """The number of rows of a shard."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        return file.metadata.num_rows


def schema_of(kind: type[Record]) -> Any:
    """The Arrow schema of a record type."""
    import pyarrow

    return pyarrow.schema([_field(name, field.annotation) for name, field in kind.model_fields.items()])


def _field(name: str, annotation: Any) -> Any:
    import pyarrow

    type = _type(annotation)
    return pyarrow.field(name, type or pyarrow.string(), metadata=None if type else JSON_TEXT)


def _type(annotation: Any) -> Any:
    """The Arrow type of an annotation; None for a field that is stored as JSON text."""
    import pyarrow

    origin, arguments = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return _type(annotation.__origin__)
    if origin in (Union, UnionType):
        return _type(next(each for each in arguments if each is not type(None)))
    if origin is Literal:
        return pyarrow.string()
    if origin is tuple:
        return (inner := _type(arguments[0])) and pyarrow.list_(inner)
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return pyarrow.struct(
            [_field(name, field.annotation) for name, field in annotation.model_fields.items()]
        )
    return getattr(pyarrow, SCALARS[annotation])() if annotation in SCALARS else None


def _packer(schema: Any) -> Callable[[str], str] | None:
    """A function that turns the schema-free objects of a line into JSON text; None if the type has none."""
    if not (names := {name for place in _json_text_fields(schema) for name in place[-1:]}):
        return None
    filled = re.compile(rf'"({"|".join(sorted(names))})": ?[\[{{]')  # in a text the quotes would be escaped
    pack = _coder(schema, json.dumps)
    return lambda line: (
        json.dumps(pack(json.loads(line)), ensure_ascii=False) + "\n" if filled.search(line) else line
    )


def _unpacker(schema: Any) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    return _coder(schema, json.loads) if _json_text_fields(schema) else None


def _json_text_fields(fields: Any) -> list[tuple[str, ...]]:
    """The paths of the fields that are stored as JSON text: their names from the outside in."""
    from pyarrow import types

    own = [(field.name,) for field in fields if field.metadata == JSON_TEXT]
    return own + [
        (field.name, *place)
        for field in fields
        if types.is_struct(field.type)
        for place in _json_text_fields(field.type)
    ]


def _coder(schema: Any, code: Callable[[Any], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function that applies `code` to a row's schema-free fields, in place."""
    places = _json_text_fields(schema)

    def coded(row: dict[str, Any]) -> dict[str, Any]:
        for *outer, name in places:
            inner: Any = row
            for step in outer:
                inner = inner and inner.get(step)
            if inner and inner.get(name) is not None:
                inner[name] = code(inner[name])
        return row

    return coded
