"""The versions that each set has had: when, how many records, what differs from the one before, and which models came of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from alignloop.data.input_files import DataError
from alignloop.data.record_files import count
from alignloop.lineage import graph as lineage
from alignloop.lineage.graph import Graph, Making
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.dvc_pipeline import VersioningError

FOLDER = "data/"
BYTES = (FOLDER, "models/")  # what is handed on; metrics are numbers about it
RECORDS = (".jsonl", ".parquet")  # files that hold records
SHORT = 10  # characters of a hash


@dataclass(frozen=True)
class Version:
    """Bytes that a set has had: what made them (None: people brought them), and what differs from the version before."""

    path: str
    hash: str
    making: Making | None
    when: datetime | None
    size: Mapping[str, Any]
    changes: tuple[str, ...]
    models: tuple[str, ...]


def versions(root: Path, graph: Graph) -> dict[str, list[Version]]:
    """Every version of every set below `data/`, oldest first: what stages made, and what was brought for them to read."""
    found: dict[str, dict[str, tuple[Making | None, datetime | None]]] = {}
    around = {
        str(folder) for making in graph.makings for path in making.outputs for folder in Path(path).parents
    }
    for making in lineage.in_time(graph):
        for paths, maker in ((making.inputs, None), (making.outputs, making)):
            for path, hash in paths.items():
                brought = hash not in graph.makers and path not in around  # a folder of sets is no set
                if path.startswith(FOLDER) and (maker or brought):
                    found.setdefault(path, {}).setdefault(hash, (maker, making.when))
    return {path: list(_told(root, graph, path, each)) for path, each in sorted(found.items())}


def _told(
    root: Path, graph: Graph, path: str, found: Mapping[str, tuple[Making | None, datetime | None]]
) -> Iterator[Version]:
    before: Making | None = None
    for hash, (making, when) in found.items():
        changes = tuple(_changes(before, making)) if before and making else ()
        yield Version(path, hash, making, when, _size(root, graph, path, hash), changes, models(graph, hash))
        before = making


def models(graph: Graph, *hashes: str) -> tuple[str, ...]:
    """The models made from these bytes, at once or by way of others: path and hash, or what they are registered as."""
    makings, _ = lineage.reached(graph, *hashes, through=BYTES)
    made = {
        (path, hash): None
        for making in makings
        for path, hash in making.outputs.items()
        if path.startswith("models/")
    }
    return tuple(named(graph, path, hash) for path, hash in made)


def named(graph: Graph, path: str, hash: str) -> str:
    """A model in a few words: its path and hash, and what it is registered as."""
    return " = ".join(
        [f"{path} {hash[:SHORT]}", *(version.label for version in graph.versions.get(hash, ()))]
    )


def _changes(before: Making, after: Making) -> Iterator[str]:
    """What the later making read otherwise: sets and models, numbers, code; a key that only one of them tells of does not count."""
    for name in sorted(before.inputs.keys() | after.inputs.keys()):
        old, new = before.inputs.get(name, "nothing"), after.inputs.get(name, "nothing")
        if old != new and name.startswith(BYTES):
            yield f"{name} {old[:SHORT]} → {new[:SHORT]}"
    for name in sorted(before.params.keys() & after.params.keys()):
        if before.params[name] != after.params[name]:
            yield f"{name} {before.params[name]} → {after.params[name]}"
    for name in sorted(before.code.keys() & after.code.keys()):
        if before.code[name] != after.code[name]:
            yield name


def _size(root: Path, graph: Graph, path: str, hash: str) -> Mapping[str, Any]:
    """Records and files, as a run that read these bytes counted them, or counted in DVC's cache; empty where neither is to be had."""
    for making in graph.users.get(hash, ()):
        if making.run and making.inputs.get(path) == hash and (size := making.run.sizes.get(path)):
            return size
    try:
        held = record_files(root, path, hash)
        return {
            "records": sum(map(count, held.values())),
            "files": len(dvc_pipeline.pipeline(root).contents(hash)),
        }
    except (VersioningError, DataError):
        return {}


def record_files(root: Path, path: str, hash: str) -> dict[str, Path]:
    """The files of records of a version, by their paths in the project, where DVC's cache keeps them."""
    pipeline = dvc_pipeline.pipeline(root)
    named = {f"{path}/{name}" if name else path: object for name, object in pipeline.contents(hash).items()}
    return {name: pipeline.place(object) for name, object in named.items() if Path(name).suffix in RECORDS}


def told(found: Mapping[str, list[Version]]) -> Iterator[str]:
    """The versions as lines for people."""
    for path, each in found.items():
        yield f"{path}  {len(each)} version{'' if len(each) == 1 else 's'}"
        records: int | None = None
        for version in each:
            when = f"{version.when:%Y-%m-%d %H:%M} UTC" if version.when else "not committed"
            by = version.making.label if version.making else "brought by people"
            yield f"  {version.hash}  {when}  {_counted(version.size, records)}"
            yield f"    {by}"
            if version.changes:
                yield f"    differs from the one before in {', '.join(version.changes)}"
            yield f"    used by {', '.join(version.models) or 'no model'}"
            records = version.size.get("records")


def _counted(size: Mapping[str, Any], before: int | None) -> str:
    if not size:
        return "not in the cache, so not counted"
    files = f"{size['files']:,} file{'' if size['files'] == 1 else 's'}"
    more = f" ({size['records'] - before:+,})" if before is not None and size["records"] != before else ""
    return f"{size['records']:,} records{more} in {files}" if size["records"] else files
