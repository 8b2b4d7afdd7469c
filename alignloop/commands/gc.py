"""`python -m alignloop gc`: show the objects in DVC's cache that are not needed; --yes removes them.

Needed are the objects that a dvc.lock names (here, in HEAD, in any branch, tag, experiment or stash), and
those in the lineage of a registered model. The remote, MLflow's store and everything else stay as they
are.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.lineage.graph import Graph, load_graph
from alignloop.pipeline import dvc_pipeline, run_commits
from alignloop.pipeline.checkout_lock import lock_checkout
from alignloop.progress import format_size

SHOWN = 30


class GcError(AlignloopError):
    """It is unknown which objects are needed, so nothing may be removed."""


@dataclass(frozen=True)
class Unused:
    """The objects not needed (hash to bytes), a line for each with a known run, and the bytes needed."""

    objects: Mapping[str, int]
    lines: Mapping[str, str]
    needed_bytes: int

    @property
    def bytes(self) -> int:
        """The bytes that can be freed."""
        return sum(self.objects.values())


def command(arguments: Sequence[str]) -> int:
    """Show what can be removed; remove it with --yes."""
    parser = argparse.ArgumentParser("python -m alignloop gc", description=__doc__)
    parser.add_argument(
        "--yes", action="store_true", help="remove what is shown; without it nothing is removed"
    )
    is_sure, root = parser.parse_args(arguments).yes, Path.cwd()
    with lock_checkout(root, "gc"):  # no dvc.lock names yet what a running stage has made
        unused = find_unused(root)
        print("\n".join(_lines(unused)))
        if is_sure:
            dvc_pipeline.pipeline(root).discard(unused.objects)
            print(f"removed {format_size(unused.bytes)}")
        elif unused.objects:
            print("nothing was removed; `python -m alignloop gc --yes` removes it")
    return 0


def find_unused(root: Path) -> Unused:
    """Return the objects in the cache that are not needed."""
    graph, stored = load_graph(root), dvc_pipeline.pipeline(root).stored()
    needed = run_commits.referenced_hashes(root) | _model_lineage(graph)
    for folder in [hash for hash in needed if hash.endswith(".dir") and hash in stored]:
        needed |= _files_in(stored[folder])
    unused = {hash: file.stat().st_size for hash, file in stored.items() if hash not in needed}
    contents = {hash: _files_in(stored[hash]) for hash in unused if hash.endswith(".dir")}
    lines: dict[str, str] = {}
    for hash, own_bytes in unused.items():
        path = graph.paths.get(hash)
        if path and (producer := graph.producer(path, hash)):
            bytes = own_bytes + sum(unused.get(file, 0) for file in contents.get(hash, ()))
            lines[hash] = f"{path}  {hash}  {format_size(bytes)}  made by {producer.label}"
    needed_bytes = sum(file.stat().st_size for hash, file in stored.items() if hash in needed)
    return Unused(unused, lines, needed_bytes)


def _model_lineage(graph: Graph) -> set[str]:
    """Return the hash of every registered model, and of everything that it was made from."""
    hashes: set[str] = set()
    todo = [(version.path, hash) for hash, versions in graph.versions.items() for version in versions]
    while todo:
        path, hash = todo.pop()
        producer = graph.producer(path, hash)
        todo += [pair for pair in (producer.inputs.items() if producer else ()) if pair[1] not in hashes]
        hashes |= {hash, *(producer.outputs.values() if producer else ())}
    return hashes


def _files_in(folder: Path) -> set[str]:
    """Return the hashes in DVC's list of a folder's files."""
    try:
        return {entry["md5"] for entry in json.loads(folder.read_text(encoding="utf-8"))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GcError(
            f"{folder}: not a folder's list of files ({error!r}), so what it needs is unknown; "
            "`dvc fetch` brings it back"
        ) from None


def _lines(unused: Unused) -> Iterable[str]:
    needed = format_size(unused.needed_bytes)
    if not unused.objects:
        yield f"nothing to free: {needed} in DVC's cache are needed"
        return
    yield (
        f"{len(unused.objects):,} objects, {format_size(unused.bytes)}, are needed by no lock, "
        f"branch, tag or registered model ({needed} are):"
    )
    lines = sorted(unused.lines.values())
    yield from (f"  {line}" for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        yield f"  and {len(lines) - SHOWN:,} more results"
    others = [bytes for hash, bytes in unused.objects.items() if hash not in unused.lines]
    size = format_size(sum(others))
    yield f"  with {len(others):,} files that lie in these or that no run here made, {size}"
