"""A run is committed to a branch of its own, with a tag for its data, and only once."""

import subprocess
from pathlib import Path

import pytest

from alignloop.pipeline.git import RevisionError
from alignloop.pipeline.run_commits import check_clean, commit_run, data_version

LOCK = """
schema: '2.0'
stages:
  ingest:
    cmd: x
    outs: [{path: data/raw, md5: aaaa.dir}]
  sample@r1:
    cmd: x
    deps: [{path: data/prompts, md5: dddd.dir}]
    outs: [{path: data/samples/r1.jsonl, md5: bbbb}, {path: models/sft, md5: cccc.dir}]
"""


def git(*words: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository after a run: changed metrics, a new dvc.lock, and somebody's staged, unfinished work."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"]):
        git(*words)
    (tmp_path / "dvc.lock").write_text(LOCK)
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "sft.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    git("add", "notes.txt")
    return tmp_path


def test_a_run_is_committed_to_its_branch_with_a_tag_and_the_checkout_is_unchanged(results: Path) -> None:
    before = git("rev-parse", "HEAD"), git("status", "--porcelain")
    first = commit_run(results, "runs", "r1: wins\n\nmore")
    assert (git("rev-parse", "HEAD"), git("status", "--porcelain")) == before
    assert (first.commit, first.is_new) == (git("rev-parse", "runs"), True)
    assert git("log", "-1", "--format=%s", first.tag) == "r1: wins"
    assert git("diff", "--name-only", "HEAD", "runs").split() == ["dvc.lock", "metrics/sft.json"], (
        "no unfinished work"
    )
    assert git("show", f"{first.tag}:dvc.lock") == LOCK.strip()
    assert data_version(results) == {"data/raw": "aaaa.dir"}
    assert "aaaa.dir  data/raw" in git("tag", "-n9", "--list", first.tag)

    again = commit_run(results, "runs", "r1: wins")
    assert (again.commit, again.tag, again.is_new) == (first.commit, first.tag, False)

    (results / "metrics" / "sft.json").unlink()
    (results / "metrics" / "ppo.json").write_text("{}")
    second = commit_run(results, "runs", "the same data, other numbers")
    assert second.tag == first.tag.removesuffix(".1") + ".2"
    assert git("rev-list", "--parents", "-1", "runs").split() == [second.commit, first.commit]
    (results / "dvc.lock").write_text(LOCK.replace("aaaa", "ffff"))
    assert commit_run(results, "runs", "other data").tag.partition(".")[0] != first.tag.partition(".")[0]


def test_newer_code_becomes_a_parent_of_the_commit(results: Path) -> None:
    first = commit_run(results, "runs", "one")
    git("commit", "-qm", "newer code")
    second = commit_run(results, "runs", "two")
    assert git("rev-list", "--parents", "-1", "runs").split() == [
        second.commit,
        first.commit,
        git("rev-parse", "HEAD"),
    ]
    assert git("show", "runs:notes.txt") == "mine"


def test_the_branch_may_be_checked_out(results: Path) -> None:
    branch = git("symbolic-ref", "--short", "HEAD")
    assert commit_run(results, branch, "here").commit == git("rev-parse", "HEAD")
    assert git("status", "--porcelain").split() == ["A", "notes.txt"]


def test_the_list_of_forgotten_users_is_committed_with_dvc_lock(results: Path) -> None:
    (results / "data").mkdir()
    (results / "data" / "forgotten.txt").write_text("salt\n")
    git("add", "data")
    git("commit", "-qm", "the list")
    (results / "data" / "forgotten.txt").write_text("salt\nmark\n")
    done = commit_run(results, "runs", "after `data forget`, before anybody committed")
    assert git("show", f"{done.tag}:data/forgotten.txt") == "salt\nmark"
    assert git("show", "HEAD:data/forgotten.txt") == "salt"


def test_uncommitted_code_is_not_recorded(results: Path) -> None:
    check_clean(results)
    (results / "dvc.yaml").write_text("stages: {x: {cmd: x}}\n")
    with pytest.raises(RevisionError, match="code or pipeline differs from commit"):
        commit_run(results, "runs", "x")
    assert git("branch", "--list", "runs") == ""
