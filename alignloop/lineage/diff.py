"""`data diff`: compare two versions of a data set record by record, by record id."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from alignloop.data.record_files import read_rows
from alignloop.errors import AlignloopError
from alignloop.lineage.graph import LOCK, Graph, LineageError, locked_executions, resolve_hash
from alignloop.lineage.log import DATA, HASH_CHARACTERS, RECORD_SUFFIXES, record_files
from alignloop.pipeline import dvc_pipeline, git
from alignloop.pipeline.stage_files import entries

WORKSPACE = "workspace"
LABELS = ("ranks", "labeler", "labeling", "category", "gold", "passed")  # fields set by people or judges
VALUE_CHARACTERS = 60
Row = dict[str, Any]
Key = tuple[str, int]  # an id, and which record of that id it is: 0, 1, …


class DiffError(AlignloopError):
    """No version has this name, or its bytes are not available."""


@dataclass(frozen=True)
class Diff:
    """The difference of two versions; `changed` maps an id to its changed fields, each (before, after)."""

    before: int
    after: int
    added: list[str]
    removed: list[str]
    changed: dict[str, dict[str, tuple[Any, Any]]]
    moved: int  # equal, but from another line of the source

    def field_counts(self) -> Counter[str]:
        """Count the records in which each field changed."""
        return Counter(field for fields in self.changed.values() for field in fields)


def sets_at(root: Path, graph: Graph, name: str) -> dict[str, str]:
    """Return the sets (path to hash) of a git revision, of the workspace, or the one set with a DVC hash."""
    if name == WORKSPACE:
        outs = dict.fromkeys(
            out
            for entry in entries(root)
            for out in entry.outs
            if out.startswith(DATA) and (root / out).exists()
        )
        return {out: dvc_pipeline.hash_of(root / out, root) for out in outs}
    if lock := git.file_at(root, name, LOCK):
        return {
            path: hash
            for execution in locked_executions(lock.text)
            for path, hash in execution.outputs.items()
            if path.startswith(DATA)
        }
    try:
        return dict([resolve_hash(graph, name)])
    except LineageError:
        if ".." in name:
            raise DiffError(
                f"{name}: is a range of revisions; name the two apart, `data diff BEFORE AFTER`"
            ) from None
        raise DiffError(
            f"{name}: neither a git revision with a {LOCK}, nor '{WORKSPACE}', nor the hash of a set; "
            "`data log` lists sets and hashes"
        ) from None


def pair_sets(
    before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield the path and both hashes of each set to compare; two single sets need not have the same path."""
    if len(before) == len(after) == 1:
        [(_, old)], [(path, new)] = before.items(), after.items()
        yield path, old, new
        return
    if len(before) == 1:
        paths = set(before)
    elif len(after) == 1:
        paths = set(after)
    else:
        paths = before.keys() | after.keys()
    for path in sorted(paths):
        yield path, before.get(path), after.get(path)


def files_of_version(root: Path, path: str, hash: str | None) -> dict[str, Path]:
    """Return a version's record files, from the workspace if it has these bytes, else from DVC's cache."""
    if hash is None:
        return {}
    place = root / path
    if place.exists() and dvc_pipeline.hash_of(place, root) == hash:  # DVC's cache may not have it yet
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        return {str(file.relative_to(root)): file for file in files if file.suffix in RECORD_SUFFIXES}
    cached = record_files(root, path, hash)
    if missing := [place for place in cached.values() if not place.exists()]:
        raise DiffError(
            f"{path} {hash}: {len(missing)} of its {len(cached)} files are not in DVC's cache: "
            "forgotten, or to be fetched with `dvc fetch --all-commits`"
        )
    return cached


def compare(before: Mapping[str, Path], after: Mapping[str, Path]) -> Diff:
    """Compare two versions. Memory holds a hash per record, and the changed records."""
    old = {key: (_digest(row), _line(row)) for key, row in _records(before)}
    new, moved = 0, 0
    added: list[str] = []
    changed: dict[Key, Row] = {}
    removed = dict.fromkeys(old)
    for key, row in _records(after):
        new += 1
        removed.pop(key, None)
        if key not in old:
            added.append(key[0])
        elif old[key][0] != _digest(row):
            changed[key] = row
        else:
            moved += old[key][1] != _line(row)
    fields = {
        key[0]: _changed_fields(row, changed[key]) for key, row in _records(before, changed.__contains__)
    }
    return Diff(len(old), new, added, [key[0] for key in removed], changed=fields, moved=moved)


def _records(
    files: Mapping[str, Path], is_wanted: Callable[[Key], bool] = lambda key: True
) -> Iterator[tuple[Key, Row]]:
    """Yield each record with its key; its file's name is one more field, for a split is a file."""
    seen = Counter[str]()
    for name, path in files.items():
        for line, row in read_rows(path):
            id = str(row.get("id", f"{name}:{line}"))
            key = (id, seen[id])
            seen[id] += 1
            if is_wanted(key):
                yield key, row | {"file": name.partition(".jsonl")[0].rpartition("/")[2]}


def _line(row: Row) -> int | None:
    return (row.get("origin") or {}).get("line")


def _digest(row: Row) -> bytes:
    return blake2b(json.dumps(_content(row), sort_keys=True).encode(), digest_size=8).digest()


def _content(row: Row) -> Row:
    """Return a record without its origin and without empty fields."""
    fields = ((name, value) for name, value in row.items() if name != "origin" and value is not None)
    return {name: _content(value) if isinstance(value, dict) else value for name, value in fields}


def _changed_fields(old: Row, new: Row) -> dict[str, tuple[Any, Any]]:
    was, now = _content(old), _content(new)
    return {name: (was.get(name), now.get(name)) for name in {**was, **now} if was.get(name) != now.get(name)}


def render(path: str, old: str | None, new: str | None, diff: Diff, limit: int) -> Iterator[str]:
    """Yield a difference as lines of text, with at most `limit` records of each kind."""
    yield f"{path}  {(old or 'not there')[:HASH_CHARACTERS]} → {(new or 'not there')[:HASH_CHARACTERS]}"
    counts = f"{len(diff.added):,} added, {len(diff.removed):,} removed, {len(diff.changed):,} changed"
    moved = f", {diff.moved:,} on another line of the source" if diff.moved else ""
    yield f"  {diff.before:,} records → {diff.after:,}: {counts}{moved}"
    if fields := diff.field_counts():
        yield f"  changed in {', '.join(f'{name} ({count:,})' for name, count in fields.most_common())}"
    if labels := sum(_has_labels(fields) for fields in diff.changed.values()):
        yield f"  labels: {labels:,} records have other labels"
    for sign, ids in (("+", diff.added), ("-", diff.removed)):
        yield from (f"  {sign} {id}" for id in ids[:limit])
        if len(ids) > limit:
            yield f"  {sign} … and {len(ids) - limit:,} more"
    labels_first = sorted(diff.changed.items(), key=lambda item: not _has_labels(item[1]))
    for id, changes in labels_first[:limit]:
        values = (f"{name} {_shortened(was)} → {_shortened(now)}" for name, (was, now) in changes.items())
        yield f"  ~ {id}: {'; '.join(values)}"
    if len(labels_first) > limit:
        yield f"  ~ … and {len(labels_first) - limit:,} more"


def _has_labels(fields: Mapping[str, Any]) -> bool:
    return any(name in LABELS for name in fields)


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARACTERS else f"{text[: VALUE_CHARACTERS - 2]} …"
