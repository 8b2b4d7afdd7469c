"""Draws the lineage of a path as a tree of text: what it was made from, or what was made from it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from alignloop.lineage.graph import Execution, Graph, dataset_size, descendants

ORDER = ("models", "data", "metrics")
T = TypeVar("T")


def render_ancestors(graph: Graph, path: str, hash: str) -> Iterator[str]:
    """Yield the tree from these bytes down to raw bytes, line by line; repeated branches are shown once."""
    yield from _render_ancestors(graph, path, hash, lead="", indent="", seen=set(), consumer=None)


def _render_ancestors(
    graph: Graph,
    path: str,
    hash: str,
    *,
    lead: str,
    indent: str,
    seen: set[Any],
    consumer: Execution | None,
) -> Iterator[str]:
    line = f"{lead}{path}  {hash}{dataset_size(consumer, path)}{_versions(graph, hash)}"
    producer = graph.producer(path, hash)
    if (path, hash) in seen:
        yield f"{line}  (above)"
        return
    yield line
    seen.add((path, hash))
    if producer is None:
        yield f"{indent}no stage made it: raw bytes"
    elif id(producer) in seen:
        yield f"{indent}made by {producer.name}  (above)"
    else:
        yield f"{indent}made by {producer.label}"
        seen.add(id(producer))
        for (inner, its_hash), branch, deeper in _branches(_ordered(producer.inputs), indent):
            yield from _render_ancestors(
                graph, inner, its_hash, lead=branch, indent=deeper, seen=seen, consumer=producer
            )


def render_descendants(graph: Graph, path: str, hash: str) -> Iterator[str]:
    """Yield every execution that used these bytes, or bytes made from them, with what it wrote."""
    executions, reached = descendants(graph, hash)
    yield f"{path}  {hash}{_versions(graph, hash)}"
    for execution in executions:
        yield f"used by {execution.label}"
        read = {path: hash for path, hash in execution.inputs.items() if hash in reached}
        yield from (f"   read   {line}" for line in _lines(graph, read))
        yield from (f"   wrote  {line}" for line in _lines(graph, execution.outputs))
    if not executions:
        yield "used by nothing that this MLflow store or dvc.lock knows of"


def _lines(graph: Graph, paths: Mapping[str, str]) -> Iterator[str]:
    return (f"{path}  {hash}{_versions(graph, hash)}" for path, hash in _ordered(paths))


def _branches(items: Sequence[T], indent: str) -> Iterator[tuple[T, str, str]]:
    """Yield each item with the prefix of its own line, and the indent of the lines below it."""
    for left, item in zip(range(len(items) - 1, -1, -1), items, strict=True):
        yield item, indent + ("├─ " if left else "└─ "), indent + ("│  " if left else "   ")


def _ordered(paths: Mapping[str, str]) -> list[tuple[str, str]]:
    """Sort paths: models first, then data, then the rest."""

    def place(pair: tuple[str, str]) -> tuple[int, str]:
        kind = pair[0].split("/")[0]
        return (ORDER.index(kind) if kind in ORDER else len(ORDER)), pair[0]

    return sorted(paths.items(), key=place)


def _versions(graph: Graph, hash: str) -> str:
    return "".join(f"  = {version.label}" for version in graph.versions.get(hash, ()))
