"""`python -m alignloop data`: the data sets' versions and differences, a record's origin, and `forget`."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from alignloop.lineage import diff, forget, log, record_trace
from alignloop.lineage.diff import DiffError
from alignloop.lineage.graph import load_graph
from alignloop.markdown import visible
from alignloop.pipeline.dvc_errors import VersioningError


def command(arguments: Sequence[str]) -> int:
    """Run one of the verbs, and print its lines as they come."""
    for line in _run(Path.cwd(), _parser().parse_args(arguments)):
        print(visible(line), flush=True)  # a terminal would obey what a record holds
    return 0


def _run(root: Path, options: argparse.Namespace) -> Iterator[str]:
    if options.verb == "log":
        versions = log.versions(root, load_graph(root, commits=True))
        if options.set and options.set not in versions:
            raise DiffError(f"{options.set}: no such set has been; there are {', '.join(versions) or 'none'}")
        yield from log.render({options.set: versions[options.set]} if options.set else versions)
    elif options.verb == "diff":
        yield from _diffs(root, options)
    elif options.verb == "show":
        yield from record_trace.trace_record(root, options.id)
    else:
        yield from forget.forget_user(root, options.user)


def _diffs(root: Path, options: argparse.Namespace) -> Iterator[str]:
    graph = load_graph(root, commits=True)
    before, after = (diff.sets_at(root, graph, name) for name in (options.before, options.after))
    pairs, equal = list(diff.pair_sets(before, after)), list[str]()
    paths = [path for path, _, _ in pairs]
    if options.set is not None and options.set not in paths:
        raise DiffError(
            f"{options.set}: no such set is on either side; there are {', '.join(paths) or 'none'}"
        )
    for path, old, new in pairs:
        if options.set not in (None, path):
            continue
        if old == new:
            equal.append(path)
            continue
        try:
            files = diff.files_of_version(root, path, old), diff.files_of_version(root, path, new)
        except (DiffError, VersioningError) as error:
            if options.set or len(before) == len(after) == 1:
                raise
            yield f"{path}  not compared: {error}"
            continue
        yield from diff.render(path, old, new, diff.compare(*files), options.most)
    if equal:
        yield f"equal: {', '.join(equal)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m alignloop data",
        description="Show the versions of the data sets, or a record's origin; forget a user.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    log_parser = verbs.add_parser(
        "log", help="the versions of each set: date, counts, what changed, the models trained on them"
    )
    log_parser.add_argument("set", nargs="?", type=_set, help="one set, data/prompts for instance")
    diff_parser = verbs.add_parser(
        "diff", help="records added, removed and changed between two versions, and labels"
    )
    diff_parser.add_argument(
        "before", help="a git revision or tag, `workspace`, or a DVC hash (its first characters suffice)"
    )
    diff_parser.add_argument(
        "after", nargs="?", default=diff.WORKSPACE, help="the same; the workspace by default"
    )
    diff_parser.add_argument("--set", type=_set, help="one set, data/prompts for instance")
    diff_parser.add_argument("--most", type=_count, default=10, help="records listed of each kind (10)")
    verbs.add_parser(
        "show", help="a record from the line of its source to the models that saw it"
    ).add_argument("id")
    forget_parser = verbs.add_parser(
        "forget", help="remove a user's records from sources, sets, labeling store, cache and remotes"
    )
    forget_parser.add_argument("--user", required=True, help="the user's id, as in the records")
    return parser


def _set(text: str) -> str:
    """Return a set's path without the slash that a shell's completion adds."""
    return text.rstrip("/")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number, 0 or more")
    return int(text)
