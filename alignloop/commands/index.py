"""`python -m alignloop index FOLDER`: makes a folder of documents searchable by the tool `search`.

Text, Markdown, HTML, PDF (with `pip install 'alignloop[pdf]'`) and JSON Lines. The index is one file; it is
replaced whole, and only when a document has changed. Its hash, which is printed, goes into tools.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from alignloop.retrieval.collection import check_refused, collect
from alignloop.retrieval.index import DEFAULT, build, check_replaceable, opened

FORGOTTEN = Path("data/forgotten.txt")


def command(arguments: Sequence[str]) -> int:
    """Read the folder, say what cannot be read, and write the index."""
    parser = argparse.ArgumentParser("python -m alignloop index", description=__doc__)
    parser.add_argument("folder", type=Path, help="the documents; hidden files are passed over")
    parser.add_argument(
        "--licence",
        required=True,
        help="SPDX expression of the documents that state none, or unknown-accepted",
    )
    parser.add_argument("--out", type=Path, default=DEFAULT, help=f"the index ({DEFAULT})")
    parser.add_argument(
        "--max-refused",
        type=_whole,
        default=0,
        help="documents that may be left out before nothing is built (0)",
    )
    parser.add_argument(
        "--embedding",
        type=Path,
        metavar="FOLDER",
        help="a checkpoint that gives passages vectors, by which they are found beside words",
    )
    options = parser.parse_args(arguments)
    check_replaceable(options.out)
    found = collect(options.folder, options.licence, FORGOTTEN, "--licence")
    for each in found.refused:
        print(f"left out   {options.folder / each.place}: {each.message}")
    check_refused(found, options.folder, options.max_refused, "--max-refused", options.out)
    told = found.told
    before = options.out.stat().st_mtime_ns if options.out.is_file() else None
    embedding = None
    if options.embedding is not None:
        from alignloop.retrieval.embedding import Embedder  # torch, which words alone do not need

        embedding = Embedder(options.embedding)
    content = build(options.out, found.documents, embedding)
    with opened(options.out) as index:
        same = before == options.out.stat().st_mtime_ns
        print(
            f"{'up to date' if same else 'written   '} {options.out}: {index.documents:,} documents in "
            f"{index.passages:,} passages{f'; left out: {told}' if told else ''}"
        )
        if embedding:
            print(
                f"vectors    of {options.embedding}; {index.cut():,} passages have more than its "
                f"{embedding.context:,} tokens, and are cut"
            )
    licences = sorted(found.licences.items())
    print(f"licences   {', '.join(f'{name} ({count:,})' for name, count in licences)}")
    print(f"content    {content}")
    return 0


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 0 or more")
    return int(text)
