"""`data diff` compares two versions record by record, whatever they are named by."""

import json
from pathlib import Path
from typing import Any

import pytest

from alignloop.__main__ import main
from alignloop.lineage.diff import compare
from alignloop.lineage.graph import locked_executions
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.git import file_history

SETS = ("data/corpus", "data/demonstrations", "data/prompts", "data/rankings/imported", "data/raw")


def printed(*arguments: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["data", "diff", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_revisions_differ_in_changed_and_added_records_and_in_labels(
    data: Path, capsys: pytest.CaptureFixture[str]
):
    out = printed("v1", "HEAD", "--set", "data/raw", capsys=capsys)
    now = sum(len(file.read_text().splitlines()) for file in (data / "data/raw").glob("*.jsonl"))
    assert out[1] == f"  {now - 1:,} records → {now:,}: 1 added, 0 removed, 2 changed"
    assert out[2] == "  changed in messages (1), ranks (1)"
    assert out[3] == "  labels: 1 records have other labels"
    assert out[4] == "  + p-3-9"
    assert out[5] == "  ~ r-2: ranks [1, 2] → [2, 1]"
    before = '[{"role": "user", "content": "What is 1 and 2?"}]'
    assert out[6].startswith(f'  ~ p-1-2: messages {before} → [{{"role": "user", "content": "Someth')
    assert len(out) == 7


def test_hashes_workspace_and_revisions_name_the_same_bytes(data: Path, capsys: pytest.CaptureFixture[str]):
    first = next(file_history(data, "dvc.lock"))
    old = next(each.outputs for each in locked_executions(first.text) if each.stage == "prepare")
    now = dvc_pipeline.hash_of(data / "data/prompts", data)
    by_hash = printed(old["data/prompts"], now[:12], capsys=capsys)
    assert by_hash == printed("v1", "--set", "data/prompts", capsys=capsys)
    assert by_hash == printed(old["data/prompts"], "workspace", capsys=capsys)
    assert printed("HEAD", "workspace", capsys=capsys) == [
        "equal: data/corpus, data/demonstrations, data/prompts, data/rankings/imported, data/raw"
    ]


def test_the_workspace_is_compared_as_it_is_on_disk(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file, backup = data / "data/prompts/train.jsonl", tmp_path / "train.jsonl"
    file.rename(backup)  # not written into: DVC's cache may hold the same file
    first, *others = backup.read_text().splitlines(keepends=True)
    file.write_text(first.replace("What", "Why") + "".join(others[1:]))
    out = printed("HEAD", "--set", "data/prompts", capsys=capsys)
    backup.replace(file)
    assert out[1].endswith(": 0 added, 1 removed, 1 changed")
    assert out[-1].startswith(f"  ~ {json.loads(first)['id']}: messages ")


def test_an_unknown_name_gives_one_message(data: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "diff", "v7", "HEAD"]) == 1
    assert capsys.readouterr().err.startswith(
        "data: v7: neither a git revision with a dvc.lock, nor 'workspace', nor the hash of a set;"
    )


@pytest.mark.parametrize("name", ["HEAD..HEAD", "v1..HEAD", "v1..", "HEAD...v1"])
def test_a_range_of_revisions_is_refused(name: str, data: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "diff", name]) == 1
    assert capsys.readouterr() == (
        "",
        f"data: {name}: is a range of revisions; name the two apart, `data diff BEFORE AFTER`\n",
    )


@pytest.mark.parametrize("name", ["^HEAD", "HEAD^@", "HEAD:data", ""])
def test_an_expression_that_is_not_one_commit_is_refused(
    name: str, data: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["data", "diff", name]) == 1
    assert capsys.readouterr().err.startswith(f"data: {name}: neither a git revision")


def test_a_set_may_end_in_a_slash_and_must_exist(data: Path, capsys: pytest.CaptureFixture[str]):
    assert printed("HEAD", "--set", "data/prompts/", capsys=capsys) == ["equal: data/prompts"]
    assert main(["data", "diff", "v1", "--set", "data/prompt"]) == 1
    assert capsys.readouterr() == (
        "",
        f"data: data/prompt: no such set is on either side; there are {', '.join(SETS)}\n",
    )


def test_the_limit_of_listed_records_may_be_zero_but_not_negative(
    data: Path, capsys: pytest.CaptureFixture[str]
):
    out = printed("v1", "HEAD", "--set", "data/raw", "--most", "0", capsys=capsys)
    assert out[4:] == ["  + … and 1 more", "  ~ … and 2 more"]
    assert main(["data", "diff", "v1", "HEAD", "--most", "-1"]) == 2
    assert "--most: -1: must be a whole number, 0 or more" in capsys.readouterr().err


def write_sets(root: Path, **files: list[dict[str, Any]]) -> dict[str, Path]:
    paths = {}
    for name, rows in files.items():
        paths[f"data/{name}.jsonl"] = root / f"{name}.jsonl"
        paths[f"data/{name}.jsonl"].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths


def test_records_are_compared_by_id_and_splits_lines_and_repeats_count(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    rows = [{"id": str(number), "text": "t", "origin": {"line": number}} for number in range(6)]
    before = write_sets(tmp_path / "a", train=rows[:4], valid=rows[4:5])
    moved = {**rows[3], "origin": {"line": 9}}
    after = write_sets(
        tmp_path / "b",
        train=[rows[0], rows[0], {**rows[1], "text": "u"}, moved],
        valid=[rows[4], rows[5]],
        test=[rows[2]],
    )
    diff = compare(before, after)
    assert (diff.before, diff.after, diff.moved) == (5, 7, 1)
    assert (diff.added, diff.removed) == (["0", "5"], [])
    assert diff.changed == {"1": {"text": ("t", "u")}, "2": {"file": ("train", "test")}}
    assert compare(after, before).removed == ["0", "5"]


def test_a_missing_version_has_no_records(tmp_path: Path):
    diff = compare({}, write_sets(tmp_path, train=[{"id": "a"}]))
    assert (diff.before, diff.after, diff.added) == (0, 1, ["a"])
