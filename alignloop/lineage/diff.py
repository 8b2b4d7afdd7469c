"""What differs between two versions of a set, record by record, told by their ids."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from alignloop.data.record_files import read_rows
from alignloop.errors import AlignloopError
from alignloop.lineage.graph import LOCK, Graph, LineageError, bytes_with, locked
from alignloop.lineage.log import FOLDER, RECORDS, SHORT, record_files
from alignloop.pipeline import dvc_pipeline, git
from alignloop.pipeline.stage_files import entries

WORKSPACE = "workspace"
LABELS = ("ranks", "labeler", "labeling", "category", "gold", "passed")  # what people or judges said
SHOWN = 60  # characters of a value
Row = dict[str, Any]
Key = tuple[str, int]  # an id, and the how manieth record of that id it is


class DifferenceError(AlignloopError):
    """Nothing has this name, or its bytes are nowhere to be had."""


@dataclass(frozen=True)
class Difference:
    """Records of two versions; of one that changed, each field that did with what stood there before and after."""

    before: int
    after: int
    added: list[str]
    removed: list[str]
    changed: dict[str, dict[str, tuple[Any, Any]]]
    moved: int  # the same, but for the line of the source

    def fields(self) -> Counter[str]:
        """How many records each field changed in."""
        return Counter(field for fields in self.changed.values() for field in fields)


def sets_at(root: Path, graph: Graph, name: str) -> dict[str, str]:
    """The sets that a name means, path to hash: a git revision's, the workspace's, or the one set of a DVC hash."""
    if name == WORKSPACE:
        outs = dict.fromkeys(
            out
            for entry in entries(root)
            for out in entry.outs
            if out.startswith(FOLDER) and (root / out).exists()
        )
        return {out: dvc_pipeline.hash_of(root / out, root) for out in outs}
    if lock := git.at(root, name, LOCK):
        return {
            path: hash
            for making in locked(lock.text)
            for path, hash in making.outputs.items()
            if path.startswith(FOLDER)
        }
    try:
        return dict([bytes_with(graph, name)])
    except LineageError:
        if ".." in name:
            told = "is a range of revisions; name the two apart, `data diff BEFORE AFTER`"
            raise DifferenceError(f"{name}: {told}") from None
        told = f"neither a git revision with a {LOCK}, nor '{WORKSPACE}', nor the hash of a set; `data log` lists sets and hashes"
        raise DifferenceError(f"{name}: {told}") from None


def pairs(
    before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[tuple[str, str | None, str | None]]:
    """The sets to compare, with their hashes on either side; two single sets are compared whatever their paths."""
    if len(before) == len(after) == 1:
        [(_, old)], [(path, new)] = before.items(), after.items()
        yield path, old, new
        return
    alone = before if len(before) == 1 else after if len(after) == 1 else None
    for path in sorted(alone or before.keys() | after.keys()):
        yield path, before.get(path), after.get(path)


def files_of(root: Path, path: str, hash: str | None) -> dict[str, Path]:
    """The files of records of a version: in the workspace if it has these bytes, else in DVC's cache."""
    if hash is None:
        return {}
    place = root / path
    if (
        place.exists() and dvc_pipeline.hash_of(place, root) == hash
    ):  # as it lies there, which DVC need not have seen yet
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        return {str(file.relative_to(root)): file for file in files if file.suffix in RECORDS}
    held = record_files(root, path, hash)
    if missing := [place for place in held.values() if not place.exists()]:
        told = f"{len(missing)} of its {len(held)} files are not in DVC's cache"
        raise DifferenceError(
            f"{path} {hash}: {told}: forgotten, or to be fetched with `dvc fetch --all-commits`"
        )
    return held


def compare(before: Mapping[str, Path], after: Mapping[str, Path]) -> Difference:
    """Compare two versions. What is in memory is a hash per record, and the records that changed."""
    old = {key: (_digest(row), _line(row)) for key, row in _records(before)}
    new, moved = 0, 0
    added: list[str] = []
    changed: dict[Key, Row] = {}
    left = dict.fromkeys(old)
    for key, row in _records(after):
        new += 1
        left.pop(key, None)
        if key not in old:
            added.append(key[0])
        elif old[key][0] != _digest(row):
            changed[key] = row
        else:
            moved += old[key][1] != _line(row)
    told = {key[0]: _fields(row, changed[key]) for key, row in _records(before, changed.__contains__)}
    return Difference(len(old), new, added, [key[0] for key in left], told, moved)


def _records(
    files: Mapping[str, Path], wanted: Callable[[Key], bool] = lambda key: True
) -> Iterator[tuple[Key, Row]]:
    """Each record with its key, and `file`, the file that it stands in, as one more field: a split is a file."""
    seen = Counter[str]()
    for name, path in files.items():
        for line, row in read_rows(path):
            id = str(row.get("id", f"{name}:{line}"))
            key = (id, seen[id])
            seen[id] += 1
            if wanted(key):
                yield key, row | {"file": name.partition(".jsonl")[0].rpartition("/")[2]}


def _line(row: Row) -> int | None:
    return (row.get("origin") or {}).get("line")


def _digest(row: Row) -> bytes:
    return blake2b(json.dumps(_bare(row), sort_keys=True).encode(), digest_size=8).digest()


def _bare(row: Row) -> Row:
    there = ((name, value) for name, value in row.items() if name != "origin" and value is not None)
    return {name: _bare(value) if isinstance(value, dict) else value for name, value in there}


def _fields(old: Row, new: Row) -> dict[str, tuple[Any, Any]]:
    was, now = _bare(old), _bare(new)
    return {name: (was.get(name), now.get(name)) for name in {**was, **now} if was.get(name) != now.get(name)}


def told(path: str, old: str | None, new: str | None, found: Difference, most: int) -> Iterator[str]:
    """A difference as lines for people, with `most` records of each kind."""
    yield f"{path}  {(old or 'not there')[:SHORT]} → {(new or 'not there')[:SHORT]}"
    counts = f"{len(found.added):,} added, {len(found.removed):,} removed, {len(found.changed):,} changed"
    moved = f", {found.moved:,} on another line of the source" if found.moved else ""
    yield f"  {found.before:,} records → {found.after:,}: {counts}{moved}"
    if fields := found.fields():
        yield f"  changed in {', '.join(f'{name} ({count:,})' for name, count in fields.most_common())}"
    if labels := sum(any(name in LABELS for name in fields) for fields in found.changed.values()):
        yield f"  labels: {labels:,} records are labeled otherwise"
    for sign, ids in (("+", found.added), ("-", found.removed)):
        yield from (f"  {sign} {id}" for id in ids[:most])
        if len(ids) > most:
            yield f"  {sign} … and {len(ids) - most:,} more"
    first = sorted(
        found.changed.items(), key=lambda each: not any(name in LABELS for name in each[1])
    )  # labels first
    for id, changes in first[:most]:
        yield f"  ~ {id}: {'; '.join(f'{name} {_short(was)} → {_short(now)}' for name, (was, now) in changes.items())}"
    if len(first) > most:
        yield f"  ~ … and {len(first) - most:,} more"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 2]} …"
