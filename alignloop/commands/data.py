"""`python -m alignloop data`: the versions of the sets, what differs between two, where a record went, and forgetting a user."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from alignloop.lineage import diff as difference
from alignloop.lineage import forget as forgetting
from alignloop.lineage import graph as lineage
from alignloop.lineage import log as history
from alignloop.lineage import show
from alignloop.lineage.diff import DifferenceError
from alignloop.pipeline.dvc_pipeline import VersioningError


def command(arguments: Sequence[str]) -> int:
    """Print what is asked, line by line as it becomes known."""
    for line in _answer(Path.cwd(), _parser().parse_args(arguments)):
        print(line, flush=True)
    return 0


def _answer(root: Path, asked: argparse.Namespace) -> Iterator[str]:
    if asked.verb == "log":
        found = history.versions(root, lineage.graph(root, commits=True))
        if asked.set and asked.set not in found:
            raise DifferenceError(
                f"{asked.set}: no such set has been; there are {', '.join(found) or 'none'}"
            )
        yield from history.told({asked.set: found[asked.set]} if asked.set else found)
    elif asked.verb == "diff":
        yield from _differences(root, asked)
    elif asked.verb == "show":
        yield from show.follow(root, asked.id)
    else:
        yield from forgetting.forget(root, asked.user)


def _differences(root: Path, asked: argparse.Namespace) -> Iterator[str]:
    graph = lineage.graph(root, commits=True)
    before, after = (difference.sets_at(root, graph, name) for name in (asked.before, asked.after))
    compared, equal = list(difference.pairs(before, after)), list[str]()
    if asked.set is not None and asked.set not in (held := [path for path, _, _ in compared]):
        raise DifferenceError(
            f"{asked.set}: no such set is on either side; there are {', '.join(held) or 'none'}"
        )
    for path, old, new in compared:
        if asked.set not in (None, path):
            continue
        if old == new:
            equal.append(path)
            continue
        try:
            files = difference.files_of(root, path, old), difference.files_of(root, path, new)
        except (DifferenceError, VersioningError) as error:
            if asked.set or len(before) == len(after) == 1:
                raise
            yield f"{path}  not compared: {error}"
            continue
        yield from difference.told(path, old, new, difference.compare(*files), asked.most)
    if equal:
        yield f"equal: {', '.join(equal)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m alignloop data", description="What is in the sets, since when, and why."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    log = verbs.add_parser(
        "log", help="the versions of each set: date, counts, what changed, which models came of it"
    )
    log.add_argument("set", nargs="?", type=_set, help="one set, data/prompts for instance")
    diff = verbs.add_parser(
        "diff", help="records added, removed and changed between two versions, and labels"
    )
    diff.add_argument(
        "before", help="a git revision or tag, `workspace`, or a DVC hash (its first characters suffice)"
    )
    diff.add_argument(
        "after", nargs="?", default=difference.WORKSPACE, help="the same; without it, the workspace"
    )
    diff.add_argument("--set", type=_set, help="one set, data/prompts for instance")
    diff.add_argument("--most", type=_count, default=10, help="records of each kind that are named (10)")
    verbs.add_parser(
        "show", help="a record from the line of its source to the models that saw it"
    ).add_argument("id")
    forget = verbs.add_parser(
        "forget", help="remove a user's records from sources, sets, labeling store, cache and remotes"
    )
    forget.add_argument("--user", required=True, help="the user's id, as records have it")
    return parser


def _set(text: str) -> str:
    """A set's path; a shell completes it with a slash."""
    return text.rstrip("/")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: a whole number, 0 or more")
    return int(text)
