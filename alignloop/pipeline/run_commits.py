"""Record runs in git: a commit on a separate branch and a tag; the checkout itself is not touched."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from alignloop.pipeline.dvc_lock import locked_stages
from alignloop.pipeline.git import RevisionError, git, revision

COMMITTED = ("dvc.lock", "params.yaml", "data/forgotten.txt", "metrics", "releases")
DATA = (  # the training data; samples and rollouts do not count
    "data/raw",
    "data/prompts",
    "data/demonstrations",
    "data/corpus",
    "data/rankings",
)
HASH = re.compile(r"\bmd5: ([0-9a-f]{32}(?:\.dir)?)")
DEFAULT_AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Alignloop"), ("EMAIL", "alignloop@localhost"))
}


@dataclass(frozen=True)
class RunCommit:
    """The commit that holds a run's results, its tag, and whether it was made by this call."""

    commit: str
    tag: str
    is_new: bool


def check_clean(root: Path) -> None:
    """Raise RevisionError if the code differs from its commit: such a run could not be repeated."""
    commit, dirty = revision(root)
    if dirty:
        raise RevisionError(
            f"{root}: code or pipeline differs from commit {commit[:10]}, so this run could not be "
            "reproduced; commit the changes (`git status` shows them), or run with commit: false"
        )


def commit_run(root: Path, branch: str, message: str) -> RunCommit:
    """Commit the COMMITTED files to `branch`, and tag the commit with the version of the data.

    No commit is made if the branch holds the same files already.
    """
    check_clean(root)
    head, tree = git(root, "rev-parse", "HEAD").strip(), _tree(root)
    line = git(root, "for-each-ref", "--format=%(objectname) %(tree)", f"refs/heads/{branch}").split()
    tip, tip_tree = line[:2] if line else (None, None)
    is_new = tip_tree != tree
    if is_new:
        parents = [tip] if tip else []
        if not tip or not _contains(root, tip, head):
            parents.append(head)
        options = [word for parent in parents for word in ("-p", parent)]
        commit = git(root, "commit-tree", tree, *options, "-m", message, env=_author(root)).strip()
        git(root, "update-ref", f"refs/heads/{branch}", commit, tip or "")
        if git(root, "symbolic-ref", "-q", "HEAD", may_fail=True).strip() == f"refs/heads/{branch}":
            git(root, "reset", "-q", "--", *COMMITTED, may_fail=True)  # the index follows its moved branch
        tip = commit
    assert tip
    return RunCommit(tip, _tag(root, tip), is_new)


def data_version(root: Path) -> dict[str, str]:
    """Return the DVC hash of each data set that dvc.lock names."""
    outs = {path: hash for stage in locked_stages(root) for path, hash in stage.outputs.items()}
    return {
        path: hash
        for path, hash in sorted(outs.items())
        if any(path == own or path.startswith(f"{own}/") for own in DATA)
    }


def referenced_hashes(root: Path) -> set[str]:
    """Return every DVC hash in a dvc.lock or .dvc file, here, in HEAD, and in any branch, tag or stash."""
    refs = ["HEAD", *git(root, "for-each-ref", "--format=%(refname)").split()]
    blobs = {
        line.split()[2]
        for ref in refs
        for line in git(root, "ls-tree", "-r", ref).splitlines()
        if line.endswith(("dvc.lock", ".dvc"))
    }
    working_tree = [
        path.read_text(encoding="utf-8")
        for path in (root / "dvc.lock", *root.glob("data/*.dvc"), *root.glob("*.dvc"))
        if path.is_file()
    ]
    committed = (git(root, "cat-file", "blob", blob) for blob in blobs)
    return {hash for text in (*working_tree, *committed) for hash in HASH.findall(text)}


def _tree(root: Path) -> str:
    """Write a tree of HEAD's files with the COMMITTED ones as they are now, by way of a temporary index."""
    with tempfile.TemporaryDirectory(prefix="alignloop-index-") as folder:
        env = {"GIT_INDEX_FILE": f"{folder}/index"}
        git(root, "read-tree", "HEAD", env=env)
        git(root, "add", "--all", "--", *(path for path in COMMITTED if (root / path).exists()), env=env)
        return git(root, "write-tree", env=env).strip()


def _tag(root: Path, commit: str) -> str:
    """Return the commit's tag; a new one is `data-HASH.N`: the Nth recorded run on these data."""
    if tags := [tag for tag in git(root, "tag", "--points-at", commit).split() if tag.startswith("data-")]:
        return tags[0]
    data = data_version(root)
    stem = f"data-{blake2b(json.dumps(data).encode(), digest_size=4).hexdigest()}"
    numbers = [int(tag.rpartition(".")[2]) for tag in git(root, "tag", "--list", f"{stem}.*").split()]
    tag = f"{stem}.{max(numbers, default=0) + 1}"
    lines = (f"{hash}  {path}" for path, hash in data.items())
    message = "\n".join([f"Data {stem.removeprefix('data-')}", "", *lines])
    git(root, "tag", "--annotate", tag, commit, "-m", message, env=_author(root))
    return tag


def _contains(root: Path, tip: str, commit: str) -> bool:
    return git(root, "merge-base", tip, commit, may_fail=True).strip() == commit


def _author(root: Path) -> Mapping[str, str]:
    """The variables of the commit's author: git's configured user, or else the program itself."""
    return {} if git(root, "config", "user.email", may_fail=True).strip() else DEFAULT_AUTHOR
