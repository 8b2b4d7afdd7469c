"""`python -m alignloop gc`: what in DVC's cache nobody needs any more, shown first and removed with --yes.

Needed is what a dvc.lock names (here, in HEAD, in any branch, tag, experiment or stash), and what a registered model's lineage names.
The remote, MLflow's store and everything else stay as they are.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.lineage import graph as lineage
from alignloop.pipeline import dvc_pipeline, run_commits
from alignloop.pipeline.checkout_lock import at_work

SHOWN = 30


class SweepError(AlignloopError):
    """What is needed cannot be told, so nothing may go."""


@dataclass(frozen=True)
class Waste:
    """What nobody needs: each object's hash and bytes, and of those that a run here made, the path and the making."""

    objects: Mapping[str, int]
    known: Mapping[str, str]
    kept: int


def command(arguments: Sequence[str]) -> int:
    """Show what can go; remove it only when told to."""
    parser = argparse.ArgumentParser("python -m alignloop gc", description=__doc__)
    parser.add_argument(
        "--yes", action="store_true", help="remove what is shown; without it nothing is removed"
    )
    sure, root = parser.parse_args(arguments).yes, Path.cwd()
    with at_work(root, "gc"):  # what a run has just made, no lock names yet
        found = waste(root)
        print("\n".join(_told(found)))
        if sure:
            dvc_pipeline.pipeline(root).discard(found.objects)
            print(f"removed {size(sum(found.objects.values()))}")
        elif found.objects:
            print("nothing was removed; `python -m alignloop gc --yes` removes it")
    return 0


def waste(root: Path) -> Waste:
    """What in the cache nobody needs."""
    graph, stored = lineage.graph(root), dvc_pipeline.pipeline(root).stored()
    needed = run_commits.named(root) | _ancestry(graph)
    for folder in [hash for hash in needed if hash.endswith(".dir") and hash in stored]:
        needed |= _inside(stored[folder])
    spare = {hash: file.stat().st_size for hash, file in stored.items() if hash not in needed}
    inside = {
        hash: sum(spare.get(part, 0) for part in _inside(stored[hash]))
        for hash in spare
        if hash.endswith(".dir")
    }
    known = {
        hash: f"{graph.names[hash]}  {hash}  {size(spare[hash] + inside.get(hash, 0))}  made by {maker.label}"
        for hash in spare
        if hash in graph.names and (maker := graph.maker(graph.names[hash], hash))
    }
    return Waste(spare, known, sum(file.stat().st_size for hash, file in stored.items() if hash in needed))


def _ancestry(graph: lineage.Graph) -> set[str]:
    """The hash of every registered model, and of all that it was made from."""
    found: set[str] = set()
    todo = [(version.path, hash) for hash, versions in graph.versions.items() for version in versions]
    while todo:
        path, hash = todo.pop()
        making = graph.maker(path, hash)
        todo += [pair for pair in (making.inputs.items() if making else ()) if pair[1] not in found]
        found |= {hash, *(making.outputs.values() if making else ())}
    return found


def _inside(folder: Path) -> set[str]:
    try:
        return {entry["md5"] for entry in json.loads(folder.read_text(encoding="utf-8"))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SweepError(
            f"{folder}: not a folder's list of files ({error!r}), so what it needs is unknown; `dvc fetch` brings it back"
        ) from None


def _told(found: Waste) -> Iterable[str]:
    if not found.objects:
        yield f"nothing to free: {size(found.kept)} in DVC's cache are needed"
        return
    total = size(sum(found.objects.values()))
    yield f"{len(found.objects):,} objects, {total}, are needed by no lock, branch, tag or registered model ({size(found.kept)} are):"
    lines = sorted(found.known.values())
    yield from (f"  {line}" for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        yield f"  and {len(lines) - SHOWN:,} more results"
    loose = {hash: bytes for hash, bytes in found.objects.items() if hash not in found.known}
    yield f"  with {len(loose):,} files that lie in these or that no run here names, {size(sum(loose.values()))}"


def size(bytes: float) -> str:
    """Bytes as people read them: 1.2 GB."""
    for unit in ("B", "kB", "MB"):
        if bytes < 1000:
            return f"{bytes:.0f} {unit}" if unit == "B" else f"{bytes:.1f} {unit}"
        bytes /= 1000
    return f"{bytes:.1f} GB"
