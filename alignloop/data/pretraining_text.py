"""The corpus as stages use it: without plain text it is empty, which only a stage that needs text refuses.

A document that states no domain is of the domain text, or dialogue where it holds messages.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from alignloop.data.input_files import DataError
from alignloop.data.record_files import read
from alignloop.records import Document


def read_text(corpus: Path, split: str, needed_for: str = "") -> list[Document]:
    """The documents of a split. Raises DataError if there are none and `needed_for` names a key."""
    file = corpus / f"{split}.jsonl"
    documents = read(file, Document, allow_empty=True)
    if needed_for and not documents:
        raise DataError(
            f"{file}: holds no plain text, which {needed_for}; add a .txt file to the sources and run from "
            "`ingest`"
        )
    return documents


def by_domain(documents: Sequence[Document]) -> dict[str, list[Document]]:
    """The documents of each domain, by name."""
    domains: dict[str, list[Document]] = {}
    for document in documents:
        domains.setdefault(_domain(document), []).append(document)
    return dict(sorted(domains.items()))


def by_stated_domain(documents: Sequence[Document]) -> dict[str, list[Document]]:
    """The documents of each domain, by name; none where no document states one."""
    return by_domain(documents) if any(document.domain for document in documents) else {}


def check_mixture(weights: Mapping[str, float], documents: Sequence[Document]) -> None:
    """Raise DataError unless `weights` names each domain of the corpus, and no other."""
    counts = {name: len(own) for name, own in by_domain(documents).items()}
    faults = [f"names {name}, of which the corpus has no document" for name in weights if name not in counts]
    faults += [f"does not name {name}: weight 0 leaves it out" for name in counts if name not in weights]
    if faults:
        there = ", ".join(f"{name} ({count:,} documents)" for name, count in counts.items())
        raise DataError(f"pretrain.mixture: {'; '.join(faults)}; the corpus has {there}")


def _domain(document: Document) -> str:
    return document.domain or ("text" if document.messages is None else "dialogue")
