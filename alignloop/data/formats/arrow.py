"""Rows of Parquet files and of Hugging Face datasets on disk (`save_to_disk`), a batch at a time; the number of a row is its line."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from alignloop.data.record_files import FETCH_AGAIN, DataError

PARQUET = b"PAR1"
BATCH = 256  # rows in memory
MARKS = ("state.json", "dataset_dict.json")  # one of them stands in a dataset's folder


def is_dataset(path: Path) -> bool:
    """Whether a folder is a dataset that `datasets` saved."""
    return any((path / mark).is_file() for mark in MARKS)


def parquet(path: Path) -> Iterator[tuple[int, Any]]:
    """Stream a Parquet file's rows."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            _distinct(file.schema_arrow.names, path)
            yield from _numbered(file.iter_batches(BATCH))
    except (ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: is no whole Parquet file: {_first(error)}; {FETCH_AGAIN}") from None


def dataset(path: Path) -> Iterator[tuple[int, Any]]:
    """Stream the rows of a saved dataset; of one with splits, split by split. Features are not decoded: no picture is opened."""
    import datasets
    from pyarrow import ArrowException

    datasets.disable_progress_bars()
    try:
        saved = datasets.load_from_disk(str(path))
        parts = list(saved.values()) if isinstance(saved, datasets.DatasetDict) else [saved]
        for part in parts:
            _distinct(part.column_names, path)
        yield from _numbered(batch for part in parts for batch in part.with_format("arrow").iter(BATCH))
    except (ArrowException, OSError, ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: `datasets` cannot load it: {_first(error)}; save it again with `save_to_disk`"
        ) from None


def parquet_without(path: Path, part: Path, numbers: Collection[int]) -> None:
    """Write a Parquet file anew without the rows of these numbers."""
    from pyarrow import array
    from pyarrow.parquet import ParquetFile, write_table

    with ParquetFile(path) as file:
        table = file.read()
        write_table(
            table.filter(array(number not in numbers for number in range(1, table.num_rows + 1))), part
        )


def dataset_without(path: Path, part: Path, numbers: Collection[int]) -> None:
    """Save a dataset anew without the rows of these numbers, which go on from split to split."""
    import datasets

    datasets.disable_progress_bars()
    saved = datasets.load_from_disk(str(path), keep_in_memory=True)
    parts = saved if isinstance(saved, datasets.DatasetDict) else {"": saved}
    first, kept = 1, {}
    for name, each in parts.items():
        kept[name] = each.select(
            [place for place in range(len(each)) if first + place not in numbers], keep_in_memory=True
        )
        first += len(each)
    (datasets.DatasetDict(kept) if parts is saved else kept[""]).save_to_disk(str(part))


def _numbered(batches: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    number = 0
    for batch in batches:
        batch.validate(
            full=True
        )  # places in damaged bytes may point anywhere: reading there would end the process
        yield from enumerate(batch.to_pylist(), number + 1)
        number += batch.num_rows


def _distinct(names: list[str], path: Path) -> None:
    if len(set(names)) < len(names):
        raise DataError(f"{path}: two columns have one name; rename one")


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
