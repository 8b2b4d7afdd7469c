"""Which code runs here: git's commit, and whether the files differ from it."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from alignloop.errors import AlignloopError

CODE = ("alignloop", "dvc.yaml")


class RevisionError(AlignloopError):
    """git cannot tell which code this is, or cannot record what it made; the message says why and what to do."""


def revision(root: Path) -> tuple[str, bool]:
    """The commit that is checked out in `root`, and whether the package or the pipeline there differs from it."""
    return git(root, "rev-parse", "HEAD").strip(), bool(git(root, "status", "--porcelain", "--", *CODE).strip())


def git(root: Path, *words: str, env: Mapping[str, str] | None = None, may_fail: bool = False) -> str:
    """What git prints. Where it fails, RevisionError, or nothing if it `may_fail`."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}
        )
    except FileNotFoundError:
        raise RevisionError("git is not installed; every run records its code's commit: install git") from None
    if answer.returncode and not may_fail:
        reason = (answer.stderr.strip().splitlines() or ["git failed"])[0]
        raise RevisionError(
            f"{root}: {reason}; every run records its code's commit: clone the project with git, or `git init` and commit it"
        )
    return answer.stdout
