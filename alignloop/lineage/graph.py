"""The lineage graph: which stage executions made and used which bytes, by the hashes in MLflow's runs.

Where MLflow has no run (its store is on another machine, say), `dvc.lock` still records which stage made
which bytes from which.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from alignloop import tracking
from alignloop.data.ranking_makers import describe
from alignloop.errors import AlignloopError
from alignloop.flatten import flatten
from alignloop.pipeline import dvc_lock
from alignloop.pipeline.git import FileAtCommit, file_history
from alignloop.tracking import registry

LOCK = "dvc.lock"
T = TypeVar("T")


class LineageError(AlignloopError):
    """No bytes have this name or hash, or the folder is not a project."""


@dataclass(frozen=True)
class Execution:
    """One execution of a stage: the bytes it read and wrote (path to hash) and its MLflow run.

    `run` is None if this MLflow store does not have it; then the execution is known from dvc.lock, in the
    working tree or at `commit`.
    """

    stage: str
    round: str | None
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    run: tracking.Run | None
    code: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    commit: FileAtCommit | None = None

    @property
    def name(self) -> str:
        """Stage and round."""
        return tracking.title(self.stage, self.round)

    @property
    def label(self) -> str:
        """Stage, commit, run and time in one line."""
        if self.run is None:
            commit = ""
            if self.commit:
                commit = f" of commit {self.commit.commit[:10]}, {self.commit.when:%Y-%m-%d %H:%M} UTC"
            return f"{self.name}, by dvc.lock{commit}; its run is not in this MLflow store"
        changes = " with uncommitted changes" if self.run.dirty else ""
        started = f"{self.run.started:%Y-%m-%d %H:%M} UTC"
        return f"{self.name}, commit {self.run.commit[:10]}{changes}, run {self.run.id}, {started}"

    @property
    def when(self) -> datetime | None:
        """The start of the run, or the time of the commit; None if only the working tree has it."""
        return self.run.started if self.run else self.commit and self.commit.when


@dataclass
class Graph:
    """All known executions, the producers and consumers of each hash, and the registered models."""

    executions: list[Execution]
    versions: Mapping[str, list[registry.Version]]
    producers: dict[str, list[Execution]] = field(default_factory=lambda: defaultdict(list))
    consumers: dict[str, list[Execution]] = field(default_factory=lambda: defaultdict(list))
    paths: dict[str, str] = field(default_factory=dict)  # hash to path

    def __post_init__(self) -> None:
        for execution in self.executions:
            for path, hash in execution.outputs.items():
                self.producers[hash].append(execution)
                self.paths.setdefault(hash, path)
            for path, hash in execution.inputs.items():
                self.consumers[hash].append(execution)
                self.paths.setdefault(hash, path)

    def producer(self, path: str, hash: str) -> Execution | None:
        """Return the newest execution that wrote these bytes, preferably to this path."""
        producers = self.producers.get(hash, [])
        same_path = (execution for execution in producers if execution.outputs.get(path) == hash)
        return next(same_path, producers[0] if producers else None)


def load_graph(root: Path, commits: bool = False) -> Graph:
    """Build the graph from MLflow's finished runs, its registered models, and dvc.lock for what they lack.

    With `commits`, dvc.lock is also read as it was at each commit.
    """
    executions = tracked_executions(root)
    versions: dict[str, list[registry.Version]] = defaultdict(list)
    for version in registry.versions(root):
        versions[version.hash].append(version)
    outputs = {pair for execution in executions for pair in execution.outputs.items()}
    locks: list[tuple[str, FileAtCommit | None]] = []
    if commits:
        locks += [(each.text, each) for each in file_history(root, LOCK)]
    if (root / LOCK).exists():
        locks.append(((root / LOCK).read_text(encoding="utf-8"), None))
    for text, commit in locks:
        new = [
            each for each in locked_executions(text, commit) if not outputs.issuperset(each.outputs.items())
        ]
        executions += new
        outputs.update(pair for execution in new for pair in execution.outputs.items())
    return Graph(executions, versions)


def tracked_executions(root: Path, stage: str = "") -> list[Execution]:
    """Return the executions of MLflow's finished runs, of one stage or of all, newest first."""
    return [
        Execution(run.stage, run.round, run.inputs, run.outputs, run, code=run.code, params=run.params)
        for run in tracking.runs(root, stage)
        if run.status == "FINISHED"
    ]


def locked_executions(text: str, commit: FileAtCommit | None = None) -> Iterator[Execution]:
    """Yield the executions in the text of a dvc.lock: the last one of each stage."""
    for stage in dvc_lock.parse_lock(text):
        params = {key: str(value) for key, value in flatten(stage.params).items()}
        yield Execution(
            stage.stage,
            stage.round,
            stage.inputs,
            stage.outputs,
            run=None,
            code=stage.code,
            params=params,
            commit=commit,
        )


def descendants(
    graph: Graph, *hashes: str, through: tuple[str, ...] = ("",)
) -> tuple[list[Execution], set[str]]:
    """Return every execution that used these bytes, or bytes made from them, oldest first; and all hashes.

    With `through`, only outputs below these folders count as made from them: equal metrics do not connect two
    sets.
    """
    reached, todo = set(hashes), list(hashes)
    users: set[int] = set()
    while todo:
        for execution in graph.consumers.get(todo.pop(), ()):
            users.add(id(execution))
            new = [
                hash
                for path, hash in execution.outputs.items()
                if hash not in reached and path.startswith(through)
            ]
            reached.update(new)
            todo += new
    return [execution for execution in chronological(graph) if id(execution) in users], reached


def chronological(graph: Graph) -> list[Execution]:
    """Return all executions, oldest first; those that only the working tree's dvc.lock has come last."""
    reverse = graph.executions[::-1]  # of runs that started at the same moment, the newest is listed first
    return sorted(reverse, key=lambda execution: execution.when or datetime.max.replace(tzinfo=UTC))


def source_datasets(graph: Graph, path: str, hash: str) -> dict[str, tuple[str, str]]:
    """Return every data set that these bytes were made from: path to hash and size."""
    datasets: dict[str, tuple[str, str]] = {}
    todo, seen = [(path, hash)], {(path, hash)}
    while todo:
        producer = graph.producer(*todo.pop())
        for part in producer.inputs.items() if producer else ():
            if part[0].startswith("data/"):
                datasets.setdefault(part[0], (part[1], dataset_size(producer, part[0]).strip()))
            if part not in seen:
                seen.add(part)
                todo.append(part)
    return dict(sorted(datasets.items()))


def resolve_hash(graph: Graph, prefix: str) -> tuple[str, str]:
    """Return the path and the hash that begins with `prefix`. Raises LineageError unless there is one."""
    hashes = (*graph.producers, *graph.consumers, *graph.versions)
    matches = {hash for hash in hashes if hash.startswith(prefix)}
    if not matches:
        raise LineageError(
            f"{prefix}: no run, model or dvc.lock entry has a hash that begins so; "
            "`lineage MODEL` shows the hashes there are"
        )
    if len(matches) > 1:
        some = ", ".join(f"{hash} ({graph.paths.get(hash, '?')})" for hash in sorted(matches)[:5])
        raise LineageError(f"{prefix}: {len(matches)} hashes begin so, write more of it: {some}")
    hash = matches.pop()
    return graph.paths.get(hash) or graph.versions[hash][0].path, hash


def dataset_size(consumer: Execution | None, path: str) -> str:
    """Return a data set's size, labelers, licences and who ranked, as the run that read it recorded them."""
    size = consumer.run.sizes.get(path) if consumer and consumer.run else None
    if not size:
        return ""
    files = f"{size['files']:,} {'file' if size['files'] == 1 else 'files'}"
    records = f"{size['records']:,} records in " if size["records"] else ""
    labelers, licences = len(size.get("labelers", ())), size.get("licences", ())
    noun = "labeler" if labelers == 1 else "labelers"
    by = f" by {labelers:,} {noun}" if labelers else ""
    more = f" and {len(licences) - 3} more" if len(licences) > 3 else ""
    under = f" under {', '.join(licences[:3])}{more}" if licences else ""
    return f"  {records}{files}{by}{under}{rankings_text(size)}"


def rankings_text(size: Mapping[str, Any]) -> str:
    """Who made a data set's rankings, as the end of a phrase about its size; "" if it holds none."""
    makers = size.get("rankings_by")
    return f"; rankings: {describe(makers)}" if makers else ""
