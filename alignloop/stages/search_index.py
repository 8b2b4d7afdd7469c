"""The index of a collection of documents: made anew when one changes, and nothing is learned from it."""

from collections.abc import Iterator
from pathlib import Path

from alignloop.files import write_json
from alignloop.params.documents import Collections
from alignloop.progress import Progress
from alignloop.retrieval.collection import check_refused, collect
from alignloop.retrieval.index import build, check_replaceable, opened


def search_index(
    documents: Collections, round: str, folder: Path, forgotten: Path, out: Path, metrics: Path
) -> Iterator[Progress]:
    """Make the documents of a collection searchable; `round` is the collection's name."""
    plan = documents[round]
    setting = f"documents.{round}"
    check_replaceable(out)
    found = collect(folder, plan.licence, forgotten, f"{setting}.licence")
    check_refused(found, folder, plan.max_refused, f"{setting}.max_refused", out)
    embedding = None
    if plan.embedding is not None:
        from alignloop.retrieval.embedding import Embedder  # torch, which words alone do not need

        embedding = Embedder(Path(plan.embedding))
    build(out, found.documents, embedding)
    with opened(out) as index:
        counts = {"documents": index.documents, "passages": index.passages, "left_out": len(found.refused)}
        counts |= {"cut": index.cut()} if embedding else {}
    write_json(metrics, {**counts, "licences": dict(sorted(found.licences.items()))})
    yield Progress(1, 1, counts, f"left out: {found.told}" if found.told else "")
