"""Reads rows of Parquet files and of datasets that Hugging Face `datasets` saved to disk, batch by batch."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from alignloop.data.formats.refused_rows import LONGEST, Refused
from alignloop.data.input_files import DataError
from alignloop.data.strict_json import FETCH_AGAIN

PARQUET = b"PAR1"
TURNS = ({"from", "value"}, {"role", "content"}, {"answer", "rank"})  # what makes a list one of turns
BATCH = 16  # rows in memory: a file of some hundred bytes can hold thousands of rows of megabytes
MARKS = ("state.json", "dataset_dict.json")  # a dataset's folder contains one of them

# what `datasets` raises for a broken folder: JSON nested too deeply is a RecursionError
LOAD_ERRORS = (OSError, ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError)


def is_dataset(path: Path) -> bool:
    """Whether a folder is a dataset that `datasets` saved."""
    return any((path / mark).is_file() for mark in MARKS)


def parquet_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Stream the rows of a Parquet file with their numbers."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            _distinct(file.schema_arrow.names, path)
            yield from _numbered(file.iter_batches(BATCH))
    except (ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: is not a complete Parquet file: {_first(error)}; {FETCH_AGAIN}") from None


def dataset_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Stream the rows of a saved dataset with their numbers, which continue from split to split.

    Features are not decoded: no image is opened.
    """
    import datasets
    from pyarrow import ArrowException

    datasets.disable_progress_bars()
    try:
        saved = datasets.load_from_disk(str(path))
        parts = list(saved.values()) if isinstance(saved, datasets.DatasetDict) else [saved]
        for part in parts:
            _distinct(part.column_names, path)
        yield from _numbered(batch for part in parts for batch in part.with_format("arrow").iter(BATCH))
    except (*LOAD_ERRORS, ArrowException) as error:
        raise DataError(
            f"{path}: `datasets` cannot load it: {_first(error)}; save it again with `save_to_disk`"
        ) from None


def write_parquet_without(path: Path, part: Path, numbers: Collection[int]) -> None:
    """Write a Parquet file into `part` without the rows with these numbers."""
    from pyarrow import array
    from pyarrow.parquet import ParquetFile, write_table

    with ParquetFile(path) as file:
        table = file.read()
        keep = array(number not in numbers for number in range(1, table.num_rows + 1))
        write_table(table.filter(keep), part)


def write_dataset_without(path: Path, part: Path, numbers: Collection[int]) -> None:
    """Save a dataset into `part` without the rows with these numbers, which continue from split to split."""
    import datasets

    datasets.disable_progress_bars()
    saved = datasets.load_from_disk(str(path), keep_in_memory=True)
    parts = saved if isinstance(saved, datasets.DatasetDict) else {"": saved}
    first = 1
    remaining = {}
    for name, split in parts.items():
        rows = [index for index in range(len(split)) if first + index not in numbers]
        remaining[name] = split.select(rows, keep_in_memory=True)
        first += len(split)
    (datasets.DatasetDict(remaining) if parts is saved else remaining[""]).save_to_disk(str(part))


def _numbered(batches: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    number = 0
    for batch in batches:
        batch.validate(full=True)  # offsets in damaged bytes may point anywhere: reading there would crash
        if batch.nbytes <= LONGEST:
            yield from enumerate(map(_with_turns, batch.to_pylist()), number + 1)
        else:
            rows = (batch.slice(at, 1) for at in range(batch.num_rows))
            yield from enumerate(map(_bounded, rows), number + 1)
        number += batch.num_rows


def _bounded(row: Any) -> Any:
    """The row of a batch of one, unless it is too long."""
    if row.nbytes > LONGEST:
        return Refused(f"a row of more than {LONGEST >> 20} MiB")
    return _with_turns(row.to_pylist()[0])


def _with_turns(row: dict[str, Any]) -> dict[str, Any]:
    """The row with a list of turns where `datasets` made an object of lists of them."""
    return {
        name: [dict(zip(value, parts, strict=True)) for parts in zip(*value.values(), strict=True)]
        if _is_columnar(value)
        else value
        for name, value in row.items()
    }


def _is_columnar(value: Any) -> bool:
    if not isinstance(value, dict) or not any(keys <= value.keys() for keys in TURNS):
        return False
    columns = list(value.values())
    return all(isinstance(each, list) and len(each) == len(columns[0]) for each in columns)


def _distinct(names: list[str], path: Path) -> None:
    if len(set(names)) < len(names):
        raise DataError(f"{path}: two columns have the same name; rename one")


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
