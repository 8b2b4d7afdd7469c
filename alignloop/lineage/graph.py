"""Where a model came from, down to raw bytes, and what was made from any bytes: a walk over the hashes in MLflow's runs.

Where a run is missing (its store is on another machine, say), `dvc.lock` still tells which stage made which bytes from which.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from alignloop import tracking
from alignloop.errors import AlignloopError
from alignloop.pipeline import dvc_lock
from alignloop.pipeline.git import Past, past
from alignloop.tracking import registry

LOCK = "dvc.lock"
ORDER = ("models", "data", "metrics")
T = TypeVar("T")


class LineageError(AlignloopError):
    """Nothing known has this name or hash, or this is no project."""


@dataclass(frozen=True)
class Making:
    """One act of a stage: the bytes it read and wrote, path to hash; its MLflow run if this store has it, or else what tells of it."""

    stage: str
    round: str | None
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    run: tracking.Run | None
    code: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    commit: Past | None = None  # whose dvc.lock tells; the working tree's is None

    @property
    def name(self) -> str:
        """Stage and round."""
        return tracking.title(self.stage, self.round)

    @property
    def label(self) -> str:
        """In one line: stage, commit, run and time."""
        if self.run is None:
            when = (
                f" of commit {self.commit.commit[:10]}, {self.commit.when:%Y-%m-%d %H:%M} UTC"
                if self.commit
                else ""
            )
            return f"{self.name}, by dvc.lock{when}; its run is not in this MLflow store"
        changed = " with uncommitted changes" if self.run.dirty else ""
        return f"{self.name}, commit {self.run.commit[:10]}{changed}, run {self.run.id}, {self.run.started:%Y-%m-%d %H:%M} UTC"

    @property
    def when(self) -> datetime | None:
        """When the run began, or the commit was made that tells of it; None: only the working tree does."""
        return self.run.started if self.run else self.commit and self.commit.when


@dataclass
class Graph:
    """All that is known: who made which bytes, who used them, and which models they are."""

    makings: list[Making]
    versions: Mapping[str, list[registry.Version]]
    makers: dict[str, list[Making]] = field(default_factory=lambda: defaultdict(list))
    users: dict[str, list[Making]] = field(default_factory=lambda: defaultdict(list))
    names: dict[str, str] = field(default_factory=dict)  # a hash's path

    def __post_init__(self) -> None:
        for making in self.makings:
            for path, hash in making.outputs.items():
                self.makers[hash].append(making)
                self.names.setdefault(hash, path)
            for path, hash in making.inputs.items():
                self.users[hash].append(making)
                self.names.setdefault(hash, path)

    def maker(self, path: str, hash: str) -> Making | None:
        """The newest making of these bytes, at this path if there is one."""
        makers = self.makers.get(hash, [])
        return next(
            (making for making in makers if making.outputs.get(path) == hash), makers[0] if makers else None
        )


def graph(root: Path, commits: bool = False) -> Graph:
    """Read MLflow's finished runs and registered models, and dvc.lock for what they lack; with `commits`, as it was at each of them."""
    makings = recorded(root)
    versions: dict[str, list[registry.Version]] = defaultdict(list)
    for version in registry.versions(root):
        versions[version.hash].append(version)
    made = {pair for making in makings for pair in making.outputs.items()}
    locks = [(each.text, each) for each in past(root, LOCK)] if commits else []
    present = root / LOCK
    for text, commit in [
        *locks,
        *([(present.read_text(encoding="utf-8"), None)] if present.exists() else []),
    ]:
        told = [making for making in locked(text, commit) if not made.issuperset(making.outputs.items())]
        makings += told
        made.update(pair for making in told for pair in making.outputs.items())
    return Graph(makings, versions)


def recorded(root: Path, stage: str = "") -> list[Making]:
    """What MLflow's finished runs, of one stage or of all, tell of, newest first."""
    runs = [run for run in tracking.runs(root, stage) if run.status == "FINISHED"]
    return [Making(run.stage, run.round, run.inputs, run.outputs, run, run.code, run.params) for run in runs]


def locked(text: str, commit: Past | None = None) -> Iterator[Making]:
    """What a dvc.lock tells of: the last making of each stage."""
    for entry in dvc_lock.read(text):
        params = {key: str(value) for key, value in tracking.flat(entry.params).items()}
        yield Making(entry.stage, entry.round, entry.inputs, entry.outputs, None, entry.code, params, commit)


def down(graph: Graph, path: str, hash: str) -> Iterator[str]:
    """The tree from these bytes to raw ones, line by line; what was shown once is only named again."""
    yield from _down(graph, path, hash, "", "", set(), None)


def _down(
    graph: Graph, path: str, hash: str, lead: str, under: str, seen: set[Any], user: Making | None
) -> Iterator[str]:
    told, making = f"{lead}{path}  {hash}{_size(user, path)}{_versions(graph, hash)}", graph.maker(path, hash)
    if (path, hash) in seen:
        yield f"{told}  (above)"
        return
    yield told
    seen.add((path, hash))
    if making is None:
        yield f"{under}no stage made it: raw bytes"
    elif id(making) in seen:
        yield f"{under}made by {making.name}  (above)"
    else:
        yield f"{under}made by {making.label}"
        seen.add(id(making))
        for (inner, its_hash), branch, deeper in _branches(_ordered(making.inputs), under):
            yield from _down(graph, inner, its_hash, branch, deeper, seen, making)


def reached(graph: Graph, *hashes: str, through: tuple[str, ...] = ("",)) -> tuple[list[Making], set[str]]:
    """Every making that used these bytes or bytes made from them, oldest first, and the hashes of all these bytes.

    With `through`, only what was made below these folders counts as made from them: equal metrics do not make two sets one.
    """
    touched, todo, found = set(hashes), list(hashes), set()
    while todo:
        for making in graph.users.get(todo.pop(), ()):
            found.add(id(making))
            fresh = [
                made
                for path, made in making.outputs.items()
                if made not in touched and path.startswith(through)
            ]
            touched.update(fresh)
            todo += fresh
    return [making for making in in_time(graph) if id(making) in found], touched


def in_time(graph: Graph) -> list[Making]:
    """All makings, oldest first; what only the working tree's dvc.lock tells of comes last."""
    backwards = graph.makings[::-1]  # of runs begun in one moment the newest stands first
    return sorted(backwards, key=lambda making: making.when or datetime.max.replace(tzinfo=UTC))


def up(graph: Graph, path: str, hash: str) -> Iterator[str]:
    """Every making that used these bytes, or bytes made from them, oldest first: what of them it read, and what it wrote."""
    makings, touched = reached(graph, hash)
    yield f"{path}  {hash}{_versions(graph, hash)}"
    for making in makings:
        yield f"used by {making.label}"
        yield from (
            f"   read   {told}"
            for told in _told(graph, {path: its for path, its in making.inputs.items() if its in touched})
        )
        yield from (f"   wrote  {told}" for told in _told(graph, making.outputs))
    if not makings:
        yield "used by nothing that this MLflow store or dvc.lock knows of"


def _told(graph: Graph, paths: Mapping[str, str]) -> Iterator[str]:
    return (f"{path}  {hash}{_versions(graph, hash)}" for path, hash in _ordered(paths))


def _branches(items: Sequence[T], under: str) -> Iterator[tuple[T, str, str]]:
    """Each item with what stands before it in a tree, and before what hangs below it."""
    for left, item in zip(range(len(items) - 1, -1, -1), items, strict=True):
        yield item, under + ("├─ " if left else "└─ "), under + ("│  " if left else "   ")


def sources(graph: Graph, path: str, hash: str) -> dict[str, tuple[str, str]]:
    """Every dataset below these bytes: path to hash and size."""
    found: dict[str, tuple[str, str]] = {}
    todo, seen = [(path, hash)], {(path, hash)}
    while todo:
        making = graph.maker(*todo.pop())
        for part in making.inputs.items() if making else ():
            if part[0].startswith("data/"):
                found.setdefault(part[0], (part[1], _size(making, part[0]).strip()))
            if part not in seen:
                seen.add(part)
                todo.append(part)
    return dict(sorted(found.items()))


def bytes_with(graph: Graph, prefix: str) -> tuple[str, str]:
    """The path and the hash that begins with `prefix`. Raises LineageError unless there is exactly one."""
    found = {hash for hash in (*graph.makers, *graph.users, *graph.versions) if hash.startswith(prefix)}
    if not found:
        raise LineageError(
            f"{prefix}: no run, model or dvc.lock entry has a hash that begins so; `lineage MODEL` shows the hashes there are"
        )
    if len(found) > 1:
        some = ", ".join(f"{hash} ({graph.names.get(hash, '?')})" for hash in sorted(found)[:5])
        raise LineageError(f"{prefix}: {len(found)} hashes begin so, write more of it: {some}")
    hash = found.pop()
    return graph.names.get(hash) or graph.versions[hash][0].path, hash


def _ordered(paths: Mapping[str, str]) -> list[tuple[str, str]]:
    """Models first, then data, then the rest."""

    def place(pair: tuple[str, str]) -> tuple[int, str]:
        kind = pair[0].split("/")[0]
        return (ORDER.index(kind) if kind in ORDER else len(ORDER)), pair[0]

    return sorted(paths.items(), key=place)


def _size(user: Making | None, path: str) -> str:
    size = user.run.sizes.get(path) if user and user.run else None
    if not size:
        return ""
    counted = f"{size['records']:,} records in {size['files']:,}" if size["records"] else f"{size['files']:,}"
    labelers = len(size.get("labelers", ()))
    by = f" by {labelers:,} labeler{'' if labelers == 1 else 's'}" if labelers else ""
    licences = size.get("licences", ())
    under = (
        f" under {', '.join(licences[:3])}{f' and {len(licences) - 3} more' if len(licences) > 3 else ''}"
        if licences
        else ""
    )
    return f"  {counted} file{'' if size['files'] == 1 else 's'}{by}{under}"


def _versions(graph: Graph, hash: str) -> str:
    return "".join(f"  = {version.label}" for version in graph.versions.get(hash, ()))


def command(arguments: Sequence[str]) -> int:
    """`lineage MODEL[@alias|/version]` or `lineage --used-by HASH`."""
    parser = argparse.ArgumentParser(
        "python -m alignloop lineage",
        description="Show where a model came from, or what was made from a hash.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "model",
        nargs="?",
        help="NAME, NAME@alias or NAME/version, as registered; or a path such as models/sft",
    )
    what.add_argument(
        "--used-by",
        metavar="HASH",
        help="everything made from these bytes; the first characters of the hash suffice",
    )
    given, root = parser.parse_args(arguments), Path.cwd()
    if not (root / "dvc.yaml").is_file():  # looked for first: MLflow would make a store here
        raise LineageError(f"{root}: no dvc.yaml here; run from the root of a clone")
    known = graph(root)
    if given.used_by is not None:
        lines = up(known, *bytes_with(known, given.used_by))
    elif here := [
        (path, hash)
        for making in known.makings
        for path, hash in making.outputs.items()
        if path == given.model
    ]:
        lines = down(known, *here[0])
    else:
        version = registry.find(root, given.model)
        lines = down(known, version.path, version.hash)
    print("\n".join(lines))
    return 0
