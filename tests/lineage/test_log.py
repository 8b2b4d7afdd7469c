"""`data log` lists the versions of each set, what changed, and the models trained on them."""

from pathlib import Path

import pytest

from alignloop.__main__ import main
from alignloop.lineage.graph import load_graph, locked_executions
from alignloop.lineage.log import SetVersion, versions
from alignloop.pipeline.git import file_history


def log(root: Path) -> dict[str, list[SetVersion]]:
    return versions(root, load_graph(root, commits=True))


def test_each_set_has_its_versions_in_order_of_time_with_counts_and_what_changed(data: Path):
    found = log(data)
    assert list(found) == [
        "data/corpus",
        "data/demonstrations",
        "data/forgotten.txt",
        "data/prompts",
        "data/rankings/imported",
        "data/raw",
        "data/sources",
    ]
    assert {path: len(each) for path, each in found.items()} == {
        "data/corpus": 1,
        "data/demonstrations": 1,
        "data/forgotten.txt": 1,
        "data/prompts": 2,
        "data/rankings/imported": 2,
        "data/raw": 2,
        "data/sources": 2,
    }
    one, two = found["data/raw"]
    assert str(one.when) < str(two.when)
    now = sum(len(file.read_text().splitlines()) for file in (data / "data/raw").glob("*.jsonl"))
    assert (one.size["records"], two.size["records"]) == (now - 1, now)
    assert one.changes == ()
    assert two.changes == (
        f"data/sources {found['data/sources'][0].hash[:10]} → {found['data/sources'][1].hash[:10]}",
    )


def test_a_version_lists_the_models_trained_on_it_and_no_others(data: Path):
    found = log(data)
    one, two = found["data/rankings/imported"]
    assert [model.partition(" = ")[2] for model in one.models] == ["alignloop-reward/1", "alignloop-policy/1"]
    assert two.models == ()
    [shown] = found["data/demonstrations"]
    assert [model.split()[0] for model in shown.models] == [
        "models/sft",
        "models/r1/reward",
        "models/r1/policy",
    ]


def test_a_version_that_only_git_has_is_read_from_its_commit(data: Path):
    graph = load_graph(data, commits=True)
    assert all(execution.run for execution in graph.executions), "MLflow has a run for each of these commits"
    first = next(file_history(data, "dvc.lock"))
    [raw] = [execution for execution in locked_executions(first.text) if execution.stage == "ingest"]
    assert raw.outputs["data/raw"] == log(data)["data/raw"][0].hash
    assert raw.params["ingest.source"] == "files"


def test_the_log_is_printed_for_all_sets_or_one(data: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "log", "data/rankings/imported"]) == 0
    out = capsys.readouterr().out.splitlines()
    one, two = log(data)["data/rankings/imported"]
    size = "24 records in 1 file; rankings: all imported from form (other)"
    assert out[0] == "data/rankings/imported  2 versions"
    assert out[1] == f"  {one.hash}  {one.when:%Y-%m-%d %H:%M} UTC  {size}"
    assert out[2].startswith("    prepare, commit ")
    assert f"  {two.hash}  {two.when:%Y-%m-%d %H:%M} UTC  {size}" in out
    assert "    used by no model" in out
    assert main(["data", "log", "data/nothing"]) == 1
    assert capsys.readouterr().err.startswith(
        "data: data/nothing: no such set has been; there are data/corpus, "
    )
