"""Statistics of a data set on disk: records, files, bytes, the labelers and licences named, who ranked."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from alignloop.data import parquet_shards
from alignloop.data.parquet_columns import distinct_values
from alignloop.data.ranking_makers import makers_in_file

NAMED = re.compile(rb'"(labeler|licence)": ?"([^"\\]+)"')  # a quote inside a text would be escaped


def size_of(path: Path) -> dict[str, Any]:
    """The number of records, files and bytes; labelers, licences and who ranked, where records say so."""
    files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
    records = 0
    names = set[tuple[bytes, bytes]]()
    makers = Counter[str]()
    for file in files:
        if file.suffix == ".jsonl":
            with file.open("rb") as lines:
                for line in lines:
                    records += 1
                    names.update(NAMED.findall(line))
        elif file.suffix == ".parquet":
            records += parquet_shards.count_rows(file)
            values = distinct_values(file, ("labeler", "licence"))
            names.update((field.encode(), name.encode()) for field, name in values)
        if file.suffix in (".jsonl", ".parquet"):
            makers.update(makers_in_file(file))
    size: dict[str, Any] = {
        "records": records,
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
    }
    for key, field in (("labelers", b"labeler"), ("licences", b"licence")):
        if values := sorted(name.decode() for named, name in names if named == field):
            size[key] = values
    if makers:
        size["rankings_by"] = dict(sorted(makers.items()))
    return size
