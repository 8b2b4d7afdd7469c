"""git: the commit that is checked out, whether the code differs from it, and files at other commits."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from alignloop.errors import AlignloopError

CODE = ("alignloop", "dvc.yaml")


class RevisionError(AlignloopError):
    """git cannot report the code's commit, or cannot make one; the message has the cause and the remedy."""


class FileAtCommit(NamedTuple):
    """The text of a file at a commit."""

    commit: str
    when: datetime
    text: str


def revision(root: Path) -> tuple[str, bool]:
    """Return the commit checked out in `root`, and whether the package or the pipeline differs from it."""
    changes = git(root, "status", "--porcelain", "--", *CODE)
    return git(root, "rev-parse", "HEAD").strip(), bool(changes.strip())


def file_history(root: Path, file: str) -> Iterator[FileAtCommit]:
    """Yield the file at each commit of any branch, tag or experiment that changed it, oldest first."""
    log = git(root, "log", "--all", "--reverse", "--diff-filter=AM", "--format=%H %ct", "--", file)
    for commit, seconds in (line.split() for line in log.splitlines()):
        text = git(root, "show", f"{commit}:{file}")
        yield FileAtCommit(commit, datetime.fromtimestamp(int(seconds), UTC), text)


def file_at(root: Path, revision: str, file: str) -> FileAtCommit | None:
    """Return the file at a commit, branch or tag; None if there is no such revision or no such file."""
    try:
        commit = git(root, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").strip()
        text = git(root, "cat-file", "blob", f"{commit}:{file}")
        seconds = int(git(root, "show", "-s", "--format=%ct", commit))
    except RevisionError:
        return None
    return FileAtCommit(commit, datetime.fromtimestamp(seconds, UTC), text)


def git(root: Path, *words: str, env: Mapping[str, str] | None = None, may_fail: bool = False) -> str:
    """Return what git prints. Where it fails, raise RevisionError, or return "" if it `may_fail`."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
            env={**os.environ, **(env or {})},
        )
    except FileNotFoundError:
        raise RevisionError(
            "git is not installed; every run records its code's commit: install git"
        ) from None
    if done.returncode and not may_fail:
        raise RevisionError(f"{root}: {_fault(done.stderr)}")
    return done.stdout


def _fault(stderr: str) -> str:
    """git's reason with the remedy: git's own where it names a command, as for a clone of another user."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()] or ["git failed"]
    own = [line for line in lines if line.startswith("git config ")]
    if own:
        return f"{lines[0]}; if you trust that folder: {own[0]}"
    return (
        f"{lines[0]}; every run records its code's commit: clone the project with git, "
        "or `git init` and commit it"
    )
