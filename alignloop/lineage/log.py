"""`data log`: the versions of each data set, with date, size, what changed and the models trained on them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from alignloop.data.ranking_makers import makers_in_file
from alignloop.data.record_files import DataError, count
from alignloop.lineage.graph import Execution, Graph, chronological, descendants, rankings_text
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.dvc_errors import VersioningError

DATA = "data/"
DATA_AND_MODELS = (DATA, "models/")  # what later stages read; metrics only describe it
RECORD_SUFFIXES = (".jsonl", ".parquet")
HASH_CHARACTERS = 10


@dataclass(frozen=True)
class SetVersion:
    """A version of a data set: the execution that made it, and what differs from the version before.

    `execution` is None if no stage made it: the files were put there by hand.
    """

    path: str
    hash: str
    execution: Execution | None
    when: datetime | None
    size: Mapping[str, Any]
    changes: tuple[str, ...]
    models: tuple[str, ...]


def versions(root: Path, graph: Graph) -> dict[str, list[SetVersion]]:
    """Return every version of every set below `data/`, oldest first, whether a stage made it or read it."""
    origins: dict[str, dict[str, tuple[Execution | None, datetime | None]]] = {}
    parents = {
        str(folder) for each in graph.executions for path in each.outputs for folder in Path(path).parents
    }
    for execution in chronological(graph):
        for paths, producer in ((execution.inputs, None), (execution.outputs, execution)):
            for path, hash in paths.items():
                is_source = hash not in graph.producers and path not in parents  # a folder of sets is no set
                if path.startswith(DATA) and (producer or is_source):
                    origins.setdefault(path, {}).setdefault(hash, (producer, execution.when))
    return {path: list(_versions(root, graph, path, each)) for path, each in sorted(origins.items())}


def _versions(
    root: Path, graph: Graph, path: str, origins: Mapping[str, tuple[Execution | None, datetime | None]]
) -> Iterator[SetVersion]:
    before: Execution | None = None
    for hash, (execution, when) in origins.items():
        yield SetVersion(
            path=path,
            hash=hash,
            execution=execution,
            when=when,
            size=_size(root, graph, path, hash),
            changes=tuple(_changes(before, execution)) if before and execution else (),
            models=models_made_from(graph, hash),
        )
        before = execution


def models_made_from(graph: Graph, *hashes: str) -> tuple[str, ...]:
    """Return labels of the models made from these bytes, directly or by way of other bytes."""
    executions, _ = descendants(graph, *hashes, through=DATA_AND_MODELS)
    models = {
        (path, hash): None
        for execution in executions
        for path, hash in execution.outputs.items()
        if path.startswith("models/")
    }
    return tuple(model_label(graph, path, hash) for path, hash in models)


def model_label(graph: Graph, path: str, hash: str) -> str:
    """Return a model's path, hash and registered versions in one line."""
    versions = (version.label for version in graph.versions.get(hash, ()))
    return " = ".join([f"{path} {hash[:HASH_CHARACTERS]}", *versions])


def _changes(before: Execution, after: Execution) -> Iterator[str]:
    """Yield the inputs, parameters and code in which two executions differ, if both of them record it."""
    for name in sorted(before.inputs.keys() | after.inputs.keys()):
        old, new = before.inputs.get(name, "nothing"), after.inputs.get(name, "nothing")
        if old != new and name.startswith(DATA_AND_MODELS):
            yield f"{name} {old[:HASH_CHARACTERS]} → {new[:HASH_CHARACTERS]}"
    for name in sorted(before.params.keys() & after.params.keys()):
        if before.params[name] != after.params[name]:
            yield f"{name} {before.params[name]} → {after.params[name]}"
    for name in sorted(before.code.keys() & after.code.keys()):
        if before.code[name] != after.code[name]:
            yield name


def _size(root: Path, graph: Graph, path: str, hash: str) -> Mapping[str, Any]:
    """Return the number of records and files, from a run or from DVC's cache; empty if neither has it."""
    for execution in graph.consumers.get(hash, ()):
        if execution.run and execution.inputs.get(path) == hash and (size := execution.run.sizes.get(path)):
            return size
    try:
        files = record_files(root, path, hash)
        makers = Counter[str]()
        for file in files.values():
            makers.update(makers_in_file(file))
        return {
            "records": sum(map(count, files.values())),
            "files": len(dvc_pipeline.pipeline(root).contents(hash)),
            "rankings_by": makers,
        }
    except (VersioningError, DataError, FileNotFoundError):
        return {}


def record_files(root: Path, path: str, hash: str) -> dict[str, Path]:
    """Return the record files of a version: their paths in the project to their places in DVC's cache."""
    pipeline = dvc_pipeline.pipeline(root)
    objects = {f"{path}/{name}" if name else path: object for name, object in pipeline.contents(hash).items()}
    return {
        name: pipeline.place(object)
        for name, object in objects.items()
        if Path(name).suffix in RECORD_SUFFIXES
    }


def render(versions: Mapping[str, list[SetVersion]]) -> Iterator[str]:
    """Yield the versions as lines of text."""
    for path, each in versions.items():
        yield f"{path}  {len(each)} version{'' if len(each) == 1 else 's'}"
        records: int | None = None
        for version in each:
            when = f"{version.when:%Y-%m-%d %H:%M} UTC" if version.when else "not committed"
            yield f"  {version.hash}  {when}  {_size_text(version.size, records)}"
            yield f"    {version.execution.label if version.execution else 'put there by hand'}"
            if version.changes:
                yield f"    differs from the one before in {', '.join(version.changes)}"
            yield f"    used by {', '.join(version.models) or 'no model'}"
            records = version.size.get("records")


def _size_text(size: Mapping[str, Any], before: int | None) -> str:
    if not size:
        return "not in the cache, so not counted"
    files = f"{size['files']:,} file{'' if size['files'] == 1 else 's'}"
    more = f" ({size['records'] - before:+,})" if before is not None and size["records"] != before else ""
    counts = f"{size['records']:,} records{more} in {files}" if size["records"] else files
    return f"{counts}{rankings_text(size)}"
