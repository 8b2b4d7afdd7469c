"""Which code runs here: git's commit, and whether the files differ from it; and what a file said at other commits."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from alignloop.errors import AlignloopError

CODE = ("alignloop", "dvc.yaml")


class RevisionError(AlignloopError):
    """git cannot tell which code this is, or cannot record what it made; the message says why and what to do."""


class Past(NamedTuple):
    """What a file said at a commit."""

    commit: str
    when: datetime
    text: str


def revision(root: Path) -> tuple[str, bool]:
    """The commit that is checked out in `root`, and whether the package or the pipeline there differs from it."""
    return git(root, "rev-parse", "HEAD").strip(), bool(
        git(root, "status", "--porcelain", "--", *CODE).strip()
    )


def past(root: Path, file: str) -> Iterator[Past]:
    """The file at each commit of any branch, tag or experiment that changed it, oldest first."""
    log = git(root, "log", "--all", "--reverse", "--diff-filter=AM", "--format=%H %ct", "--", file)
    for commit, seconds in (line.split() for line in log.splitlines()):
        yield Past(commit, datetime.fromtimestamp(int(seconds), UTC), git(root, "show", f"{commit}:{file}"))


def at(root: Path, name: str, file: str) -> Past | None:
    """The file at what git knows by this name: a commit, branch or tag; None where git knows no such name, or the commit no such file."""
    try:
        commit = git(root, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}").strip()
        text = git(root, "cat-file", "blob", f"{commit}:{file}")
        return Past(
            commit, datetime.fromtimestamp(int(git(root, "show", "-s", "--format=%ct", commit)), UTC), text
        )
    except RevisionError:
        return None


def git(root: Path, *words: str, env: Mapping[str, str] | None = None, may_fail: bool = False) -> str:
    """What git prints. Where it fails, RevisionError, or nothing if it `may_fail`."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **(env or {})},
        )
    except FileNotFoundError:
        raise RevisionError(
            "git is not installed; every run records its code's commit: install git"
        ) from None
    if answer.returncode and not may_fail:
        reason = (answer.stderr.strip().splitlines() or ["git failed"])[0]
        raise RevisionError(
            f"{root}: {reason}; every run records its code's commit: clone the project with git, or `git init` and commit it"
        )
    return answer.stdout
