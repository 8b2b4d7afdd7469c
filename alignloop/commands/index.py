"""`python -m alignloop index FOLDER`: makes a folder of documents searchable by the tool `search`.

Text, Markdown, HTML, PDF (with `pip install 'alignloop[pdf]'`) and JSON Lines. The index is one file; it is
replaced whole, and only when a document has changed. Its hash, which is printed, goes into tools.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from alignloop.data.forgotten import ForgottenUsers
from alignloop.data.formats.sources import checked_licence
from alignloop.retrieval.documents import Document, Refused, read_folder
from alignloop.retrieval.index import DEFAULT, IndexProblem, build, opened

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
        type=int,
        default=0,
        help="documents that may be left out before nothing is built (0)",
    )
    options = parser.parse_args(arguments)
    licence = checked_licence("--licence", options.licence)
    if not options.folder.is_dir():
        raise IndexProblem(f"{options.folder}: is no folder; name the one with the documents")
    forgotten = ForgottenUsers(FORGOTTEN) if FORGOTTEN.is_file() else None
    found = list(read_folder(options.folder, licence, forgotten))
    documents = [each for each in found if isinstance(each, Document)]
    refused = [each for each in found if isinstance(each, Refused)]
    for each in refused:
        print(f"left out   {options.folder / each.place}: {each.message}")
    counts = Counter(each.reason for each in refused)
    told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))
    unwanted = sum(count for reason, count in counts.items() if reason != "forgotten")
    if unwanted > options.max_refused:
        raise IndexProblem(
            f"{options.folder}: {unwanted:,} documents cannot be read ({told}), at most "
            f"{options.max_refused:,} may be left out (--max-refused); mend them as said above. "
            f"{options.out} is as it was"
        )
    before = options.out.stat().st_mtime_ns if options.out.is_file() else None
    content = build(options.out, documents)
    with opened(options.out) as index:
        same = before == options.out.stat().st_mtime_ns
        print(
            f"{'up to date' if same else 'written   '} {options.out}: {index.documents:,} documents in "
            f"{index.passages:,} passages{f'; left out: {told}' if told else ''}"
        )
    licences = Counter(each.licence for each in documents)
    print(f"licences   {', '.join(f'{name} ({count:,})' for name, count in sorted(licences.items()))}")
    print(f"content    {content}")
    return 0
