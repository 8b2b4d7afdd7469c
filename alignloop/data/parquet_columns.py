"""Counts values of a few columns of Parquet files; no other column is read."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any


def distinct_values(path: Path, names: Collection[str]) -> set[tuple[str, str]]:
    """The (column, value) pairs of the columns with these names, at any depth; no others are read."""
    from pyarrow.parquet import ParquetFile

    pairs = set[tuple[str, str]]()
    with ParquetFile(path) as file:
        places = [file.schema.column(place).path for place in range(len(file.schema))]
        for place in (place for place in places if place.split(".")[-1] in names):
            for group in range(file.num_row_groups):
                column: Any = file.read_row_group(group, [place])
                for _ in place.split(".")[1:]:
                    column = column.flatten()
                values = column.column(0).unique().to_pylist()
                pairs |= {(place.split(".")[-1], value) for value in values if value is not None}
    return pairs


def count_values(path: Path, columns: Sequence[str]) -> Counter[tuple[str | None, ...]]:
    """How often each combination of texts occurs in these columns, such as `prompt.source`.

    A column that the file lacks, or that holds no texts, counts as one of None.
    """
    from pyarrow import types
    from pyarrow.parquet import ParquetFile

    counts = Counter[tuple[str | None, ...]]()
    with ParquetFile(path) as file:
        known = {file.schema.column(place).path for place in range(len(file.schema))}
        for group in range(file.num_row_groups):
            table: Any = file.read_row_group(group, [name for name in columns if name in known])
            rows = file.metadata.row_group(group).num_rows
            while any(types.is_struct(field.type) for field in table.schema):
                table = table.flatten()
            texts = {field.name for field in table.schema if types.is_string(field.type)}
            found = [table.column(name).to_pylist() if name in texts else [None] * rows for name in columns]
            counts.update(zip(*found, strict=True))
    return counts
