"""`data diff` tells record by record what differs between two versions, whatever names them."""

import json
from pathlib import Path
from typing import Any

import pytest

from alignloop.__main__ import main
from alignloop.lineage import graph
from alignloop.lineage.diff import compare
from alignloop.pipeline import dvc_pipeline

SETS = ("data/corpus", "data/demonstrations", "data/prompts", "data/rankings/imported", "data/raw")


def said(*arguments: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["data", "diff", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_revisions_differ_in_the_records_that_were_changed_and_added_and_in_labels(
    data: Path, capsys: pytest.CaptureFixture[str]
):
    out = said("v1", "HEAD", "--set", "data/raw", capsys=capsys)
    now = sum(len(file.read_text().splitlines()) for file in (data / "data/raw").glob("*.jsonl"))
    assert out[1] == f"  {now - 1:,} records → {now:,}: 1 added, 0 removed, 2 changed"
    assert out[2] == "  changed in messages (1), ranks (1)"
    assert out[3] == "  labels: 1 records are labeled otherwise"
    assert out[4] == "  + p-3-9"
    assert out[5] == "  ~ r-2: ranks [1, 2] → [2, 1]"
    assert out[6].startswith(
        '  ~ p-1-2: messages [{"role": "user", "content": "What is 1 and 2?"}] → [{"role": "user", "content": "Someth'
    )
    assert len(out) == 7


def test_hashes_workspace_and_revisions_name_the_same_bytes(data: Path, capsys: pytest.CaptureFixture[str]):
    old = next(
        each.outputs
        for each in graph.locked(graph.past(data, "dvc.lock").__next__().text)
        if each.stage == "prepare"
    )
    now = dvc_pipeline.hash_of(data / "data/prompts", data)
    by_hash = said(old["data/prompts"], now[:12], capsys=capsys)
    assert by_hash == said("v1", "--set", "data/prompts", capsys=capsys)
    assert by_hash == said(old["data/prompts"], "workspace", capsys=capsys)
    assert said("HEAD", "workspace", capsys=capsys) == [
        "equal: data/corpus, data/demonstrations, data/prompts, data/rankings/imported, data/raw"
    ]


def test_the_workspace_is_compared_as_it_lies_there(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file, kept = data / "data/prompts/train.jsonl", tmp_path / "train.jsonl"
    file.rename(kept)  # and not written into, for DVC's cache may hold the same file
    first, *others = kept.read_text().splitlines(keepends=True)
    file.write_text(first.replace("What", "Why") + "".join(others[1:]))
    out = said("HEAD", "--set", "data/prompts", capsys=capsys)
    kept.replace(file)
    assert out[1].endswith(": 0 added, 1 removed, 1 changed")
    assert out[-1].startswith(f"  ~ {json.loads(first)['id']}: messages ")


def test_what_nothing_is_called_is_one_message(data: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "diff", "v7", "HEAD"]) == 1
    assert capsys.readouterr().err.startswith(
        "data: v7: neither a git revision with a dvc.lock, nor 'workspace', nor the hash of a set;"
    )


@pytest.mark.parametrize("name", ["HEAD..HEAD", "v1..HEAD", "v1..", "HEAD...v1"])
def test_a_range_is_no_revision(name: str, data: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "diff", name]) == 1
    assert capsys.readouterr() == (
        "",
        f"data: {name}: is a range of revisions; name the two apart, `data diff BEFORE AFTER`\n",
    )


@pytest.mark.parametrize("name", ["^HEAD", "HEAD^@", "HEAD:data", ""])
def test_what_is_no_single_commit_names_nothing(name: str, data: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "diff", name]) == 1
    assert capsys.readouterr().err.startswith(f"data: {name}: neither a git revision")


def test_a_set_may_end_in_a_slash_and_has_to_be_there(data: Path, capsys: pytest.CaptureFixture[str]):
    assert said("HEAD", "--set", "data/prompts/", capsys=capsys) == ["equal: data/prompts"]
    assert main(["data", "diff", "v1", "--set", "data/prompt"]) == 1
    assert capsys.readouterr() == (
        "",
        f"data: data/prompt: no such set is on either side; there are {', '.join(SETS)}\n",
    )


def test_no_fewer_than_no_records_are_named(data: Path, capsys: pytest.CaptureFixture[str]):
    out = said("v1", "HEAD", "--set", "data/raw", "--most", "0", capsys=capsys)
    assert out[4:] == ["  + … and 1 more", "  ~ … and 2 more"]
    assert main(["data", "diff", "v1", "HEAD", "--most", "-1"]) == 2
    assert "--most: -1: a whole number, 0 or more" in capsys.readouterr().err


def held(root: Path, **files: list[dict[str, Any]]) -> dict[str, Path]:
    paths = {}
    for name, rows in files.items():
        paths[f"data/{name}.jsonl"] = root / f"{name}.jsonl"
        paths[f"data/{name}.jsonl"].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths


def test_records_are_told_by_id_and_splits_lines_and_repeats_count(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    rows = [{"id": str(number), "text": "t", "origin": {"line": number}} for number in range(6)]
    before = held(tmp_path / "a", train=rows[:4], valid=rows[4:5])
    moved = {**rows[3], "origin": {"line": 9}}
    after = held(
        tmp_path / "b",
        train=[rows[0], rows[0], {**rows[1], "text": "u"}, moved],
        valid=[rows[4], rows[5]],
        test=[rows[2]],
    )
    found = compare(before, after)
    assert (found.before, found.after, found.moved) == (5, 7, 1)
    assert (found.added, found.removed) == (["0", "5"], [])
    assert found.changed == {"1": {"text": ("t", "u")}, "2": {"file": ("train", "test")}}
    assert compare(after, before).removed == ["0", "5"]


def test_a_version_that_is_not_there_has_no_records(tmp_path: Path):
    found = compare({}, held(tmp_path, train=[{"id": "a"}]))
    assert (found.before, found.after, found.added) == (0, 1, ["a"])
