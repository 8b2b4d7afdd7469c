"""The history of runs in git: each is a commit on a branch of its own and a tag, made beside the checkout, which stays as it is."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from alignloop.pipeline.dvc_lock import recorded
from alignloop.pipeline.git import RevisionError, git, revision

RECORDED = ("dvc.lock", "params.yaml", "data/forgotten.txt", "metrics", "releases")
DATA = (  # what is learned from; samples and rollouts are not
    "data/raw",
    "data/prompts",
    "data/demonstrations",
    "data/corpus",
    "data/rankings",
)
HASH = re.compile(r"\bmd5: ([0-9a-f]{32}(?:\.dir)?)")
NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Alignloop"), ("EMAIL", "alignloop@localhost"))
}


@dataclass(frozen=True)
class Recorded:
    """A commit that holds a run's results, the tag on it, and whether it was made just now."""

    commit: str
    tag: str
    new: bool


def check_clean(root: Path) -> None:
    """Refuse to record what nobody could repeat: code that differs from its commit."""
    commit, dirty = revision(root)
    if dirty:
        raise RevisionError(
            f"{root}: code or pipeline differs from commit {commit[:10]}, so no commit could say what this run is;"
            " commit it (`git status` shows it), or run with commit: false"
        )


def record(root: Path, branch: str, message: str) -> Recorded:
    """Commit what RECORDED names to `branch`, and tag the commit with the version of the data, unless all of it is there."""
    check_clean(root)
    head, tree = git(root, "rev-parse", "HEAD").strip(), _tree(root)
    known = [
        line.split()
        for line in git(
            root, "for-each-ref", "--format=%(objectname) %(tree)", f"refs/heads/{branch}"
        ).splitlines()
    ]
    tip, same = known[0] if known else (None, None)
    new = same != tree
    if new:
        parents = [tip] if tip else []
        if not tip or not _contains(root, tip, head):
            parents.append(head)
        words = [word for parent in parents for word in ("-p", str(parent))]
        commit = git(root, "commit-tree", tree, *words, "-m", message, env=_author(root)).strip()
        git(root, "update-ref", f"refs/heads/{branch}", commit, tip or "")
        if git(root, "symbolic-ref", "-q", "HEAD", may_fail=True).strip() == f"refs/heads/{branch}":
            git(
                root, "reset", "-q", "--", *RECORDED, may_fail=True
            )  # its index follows the branch that has moved
        tip = commit
    assert tip
    return Recorded(tip, _tag(root, tip), new)


def data_version(root: Path) -> dict[str, str]:
    """The DVC hash of each data set that dvc.lock names."""
    outs = {path: hash for entry in recorded(root) for path, hash in entry.outputs.items()}
    return {
        path: hash
        for path, hash in sorted(outs.items())
        if any(path == own or path.startswith(f"{own}/") for own in DATA)
    }


def named(root: Path) -> set[str]:
    """Every DVC hash that dvc.lock or a .dvc file names: here, in HEAD, and in any branch, tag, experiment or stash."""
    refs = ["HEAD", *git(root, "for-each-ref", "--format=%(refname)").split()]
    blobs = {
        line.split()[2]
        for ref in refs
        for line in git(root, "ls-tree", "-r", ref).splitlines()
        if line.endswith(("dvc.lock", ".dvc"))
    }
    here = [
        path.read_text(encoding="utf-8")
        for path in (root / "dvc.lock", *root.glob("data/*.dvc"), *root.glob("*.dvc"))
        if path.is_file()
    ]
    return {
        hash
        for text in (*here, *(git(root, "cat-file", "blob", blob) for blob in blobs))
        for hash in HASH.findall(text)
    }


def _tree(root: Path) -> str:
    """HEAD's files with the recorded ones as they are now: a tree made in an index of its own."""
    with tempfile.TemporaryDirectory(prefix="alignloop-index-") as folder:
        env = {"GIT_INDEX_FILE": f"{folder}/index"}
        git(root, "read-tree", "HEAD", env=env)
        git(root, "add", "--all", "--", *(path for path in RECORDED if (root / path).exists()), env=env)
        return git(root, "write-tree", env=env).strip()


def _tag(root: Path, commit: str) -> str:
    """The commit's tag; where it has none, `data-HASH.N`: the Nth recorded run on these data."""
    if tags := [tag for tag in git(root, "tag", "--points-at", commit).split() if tag.startswith("data-")]:
        return tags[0]
    data = data_version(root)
    stem = f"data-{blake2b(json.dumps(data).encode(), digest_size=4).hexdigest()}"
    numbers = [int(tag.rpartition(".")[2]) for tag in git(root, "tag", "--list", f"{stem}.*").split()]
    tag = f"{stem}.{max(numbers, default=0) + 1}"
    message = "\n".join(
        [f"Data {stem.removeprefix('data-')}", "", *(f"{hash}  {path}" for path, hash in data.items())]
    )
    git(root, "tag", "--annotate", tag, commit, "-m", message, env=_author(root))
    return tag


def _contains(root: Path, tip: str, commit: str) -> bool:
    return git(root, "merge-base", tip, commit, may_fail=True).strip() == commit


def _author(root: Path) -> Mapping[str, str]:
    """Who commits: whom git knows here, or else the program itself."""
    return {} if git(root, "config", "user.email", may_fail=True).strip() else NOBODY
