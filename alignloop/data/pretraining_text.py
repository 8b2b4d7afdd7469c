"""The corpus as stages use it: without plain text it is empty, which only a stage that needs text refuses."""

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
