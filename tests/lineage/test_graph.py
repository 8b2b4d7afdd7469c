"""The lineage graph traces a model down to raw bytes, and any bytes to what used them, by hashes alone."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from alignloop import tracking
from alignloop.__main__ import main
from alignloop.lineage.graph import load_graph, source_datasets
from alignloop.lineage.tree import render_ancestors, render_descendants
from alignloop.tracking import registry

RAW = "a1" * 16
PROMPTS, SFT, REWARD, POLICY = (f"{pair * 16}.dir" for pair in ("b2", "c3", "d4", "e5"))


def make(root: Path, stage: str, round: str | None, inputs: dict[str, str], outputs: dict[str, str]) -> str:
    with tracking.run(root, stage, round, inputs=inputs) as run:
        run.finish(outputs)
    return run.id


@pytest.fixture
def runs(project: Path) -> dict[str, str]:
    """The run ids by stage of raw → prepare → prompts → sft, reward → ppo → policy, which is registered."""
    (project / "data" / "prompts").mkdir(parents=True)
    (project / "data" / "prompts" / "train.jsonl").write_text(
        '{"origin":{"licence":"MIT"}}\n{"origin":{"licence":"CC-BY-4.0"}}\n'
    )
    (project / "data" / "raw").write_text("bytes")
    ids = {
        "prepare": make(project, "prepare", None, {"data/raw": RAW}, {"data/prompts": PROMPTS}),
        "sft": make(project, "sft", None, {"data/prompts": PROMPTS}, {"models/sft": SFT}),
        "reward": make(
            project,
            "reward",
            "r1",
            {"models/sft": SFT, "data/prompts": PROMPTS},
            {"models/r1/reward": REWARD},
        ),
    }
    inputs = {"models/sft": SFT, "models/r1/reward": REWARD}
    ids["ppo"] = make(
        project, "ppo", "r1", inputs, {"models/r1/policy": POLICY, "metrics/rounds/r1/ppo.json": "f6" * 16}
    )
    (project / "models" / "r1" / "policy").mkdir(parents=True)
    (project / "models" / "r1" / "policy" / "model.safetensors").write_text("x")
    version = registry.register(
        project,
        "alignloop-policy",
        "models/r1/policy",
        POLICY,
        run=ids["ppo"],
        description="",
        parents={},
        tags={},
    )
    registry.set_alias(project, "candidate", version)
    return ids


def ancestors(root: Path, path: str, hash: str) -> list[str]:
    return list(render_ancestors(load_graph(root), path, hash))


def test_a_policy_is_traced_to_raw_bytes_and_every_run_hash_and_size_is_shown_once(
    project: Path, runs: dict[str, str], capsys: pytest.CaptureFixture
):
    assert main(["lineage", "alignloop-policy@candidate"]) == 0
    [commit] = {run.commit for run in tracking.runs(project)}
    time = {run.id: f"{run.started:%Y-%m-%d %H:%M} UTC" for run in tracking.runs(project)}

    def by(stage: str, name: str) -> str:
        return f"made by {name}, commit {commit[:10]}, run {runs[stage]}, {time[runs[stage]]}"

    assert capsys.readouterr().out.splitlines() == [
        f"models/r1/policy  {POLICY}  = alignloop-policy/1 @candidate",
        by("ppo", "ppo · r1"),
        f"├─ models/r1/reward  {REWARD}",
        f"│  {by('reward', 'reward · r1')}",
        f"│  ├─ models/sft  {SFT}",
        f"│  │  {by('sft', 'sft')}",
        f"│  │  └─ data/prompts  {PROMPTS}  2 records in 1 file under CC-BY-4.0, MIT",
        f"│  │     {by('prepare', 'prepare')}",
        f"│  │     └─ data/raw  {RAW}  1 file",
        "│  │        no stage made it: raw bytes",
        f"│  └─ data/prompts  {PROMPTS}  2 records in 1 file under CC-BY-4.0, MIT  (above)",
        f"└─ models/sft  {SFT}  (above)",
    ]


def test_a_hash_is_traced_to_everything_made_from_it_in_order_of_time(
    project: Path, runs: dict[str, str], capsys: pytest.CaptureFixture
):
    assert main(["lineage", "--used-by", SFT[:8]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        f"models/sft  {SFT}",
        "used by reward · r1",
        f"   read   models/sft  {SFT}",
        f"   wrote  models/r1/reward  {REWARD}",
        "used by ppo · r1",
        f"   read   models/r1/reward  {REWARD}",
        f"   read   models/sft  {SFT}",
        f"   wrote  models/r1/policy  {POLICY}  = alignloop-policy/1 @candidate",
        f"   wrote  metrics/rounds/r1/ppo.json  {'f6' * 16}",
    ]
    assert runs["reward"] in lines[1]


def test_unused_bytes_are_reported_as_unused(project: Path, runs: dict[str, str]):
    assert list(render_descendants(load_graph(project), "models/r1/policy", POLICY))[1:] == [
        "used by nothing that this MLflow store or dvc.lock knows of"
    ]


def test_a_skipped_stage_is_traced_to_the_earlier_run_that_made_its_bytes(
    project: Path, runs: dict[str, str]
):
    other = "77" * 16 + ".dir"
    make(project, "sft", None, {"data/prompts": PROMPTS}, {"models/sft": other})
    assert runs["sft"] in ancestors(project, "models/sft", SFT)[1], "the newer run made other bytes"


def test_equal_bytes_at_two_paths_have_their_own_producers(project: Path):
    one = make(project, "label", "r1", {}, {"data/rankings/r1": RAW})
    two = make(project, "label", "r2", {}, {"data/rankings/r2": RAW})
    assert one in ancestors(project, "data/rankings/r1", RAW)[1]
    assert two in ancestors(project, "data/rankings/r2", RAW)[1]


def test_failed_runs_are_no_producers(project: Path):
    with suppress(ZeroDivisionError), tracking.run(project, "sft") as run:
        run.finish({"models/sft": SFT})
        raise ZeroDivisionError
    assert ancestors(project, "models/sft", SFT)[1] == "no stage made it: raw bytes"


def test_a_run_missing_in_the_store_is_read_from_dvc_lock(project: Path):
    lock = {
        "schema": "2.0",
        "stages": {
            "prepare": {
                "cmd": "",
                "deps": [{"path": "data/raw", "md5": RAW}],
                "outs": [{"path": "data/prompts", "md5": PROMPTS}],
            },
            "reward@r1": {
                "cmd": "",
                "deps": [
                    {"path": "data/prompts", "md5": PROMPTS},
                    {"path": "alignloop/core", "md5": "0" * 32},
                ],
                "outs": [{"path": "models/r1/reward", "md5": REWARD}],
            },
        },
    }
    (project / "dvc.lock").write_text(json.dumps(lock))  # JSON is YAML
    assert ancestors(project, "models/r1/reward", REWARD) == [
        f"models/r1/reward  {REWARD}",
        "made by reward · r1, by dvc.lock; its run is not in this MLflow store",
        f"└─ data/prompts  {PROMPTS}",
        "   made by prepare, by dvc.lock; its run is not in this MLflow store",
        f"   └─ data/raw  {RAW}",
        "      no stage made it: raw bytes",
    ]


def test_a_model_may_be_named_by_its_path(project: Path, runs: dict[str, str], capsys: pytest.CaptureFixture):
    assert main(["lineage", "models/sft"]) == 0
    assert capsys.readouterr().out.startswith(f"models/sft  {SFT}\nmade by sft")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["alignloop-judge"],
            "lineage: alignloop-judge: no such model; registered are alignloop-policy/1 @candidate",
        ),
        (["--used-by", "zz"], "lineage: zz: no run, model or dvc.lock entry has a hash that begins so"),
        (["--used-by", ""], "lineage: : 6 hashes begin so, write more of it: "),
    ],
)
def test_an_unknown_or_ambiguous_name_gives_one_message(
    project: Path, runs: dict[str, str], arguments: list[str], message: str, capsys: pytest.CaptureFixture
):
    assert main(["lineage", *arguments]) == 1
    assert capsys.readouterr().err.startswith(message)


def test_outside_a_project_nothing_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main(["lineage", "models/sft"]) == 1
    assert capsys.readouterr().err == f"lineage: {tmp_path}: no dvc.yaml here; run from the root of a clone\n"
    assert not list(tmp_path.iterdir())


def test_every_dataset_below_a_model_is_listed_with_hash_and_size(project: Path, runs: dict[str, str]):
    assert source_datasets(load_graph(project), "models/r1/policy", POLICY) == {
        "data/prompts": (PROMPTS, "2 records in 1 file under CC-BY-4.0, MIT"),
        "data/raw": (RAW, "1 file"),
    }
