"""Which code runs here: git's commit, and whether the files differ from it."""

import subprocess
from pathlib import Path

from alignloop.errors import AlignloopError

CODE = ("alignloop", "dvc.yaml")


class RevisionError(AlignloopError):
    """git cannot tell which code this is; the message says why and what to do."""


def revision(root: Path) -> tuple[str, bool]:
    """The commit that is checked out in `root`, and whether the package or the pipeline there differs from it."""
    return _git(root, "rev-parse", "HEAD").strip(), bool(_git(root, "status", "--porcelain", "--", *CODE).strip())


def _git(root: Path, *words: str) -> str:
    try:
        answer = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RevisionError("git is not installed; every run records its code's commit: install git") from None
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["git failed"])[0]
        raise RevisionError(
            f"{root}: {reason}; every run records its code's commit: clone the project with git, or `git init` and commit it"
        )
    return answer.stdout
