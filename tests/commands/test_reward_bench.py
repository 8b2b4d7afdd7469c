"""`python -m alignloop reward-bench`: any reward model folder on preference files, and what it leaves."""

import json
from pathlib import Path

import pytest

from alignloop import tracking
from alignloop.__main__ import main
from alignloop.core.models import load_policy
from alignloop.core.reward_model import RewardModel
from tests.scoring.conftest import save_classifier


@pytest.fixture
def files(project: Path, tiny_policy: Path) -> Path:
    """A reward model, RewardBench's rows, and HH-RLHF's pairs in two folders."""
    policy, tokenizer = load_policy(tiny_policy)
    RewardModel.from_policy(policy, 3).save(project / "rm", tokenizer)
    rows = [
        {"prompt": f"Is it {n}?", "chosen": "Yes it is.", "rejected": "No.", "subset": "chat", "id": n}
        for n in range(6)
    ]
    rows.append(
        {"prompt": "Who?", "chosen": "I will not say.", "rejected": "You " * 200, "subset": "refusals"}
    )
    rows.append({"prompt": "Who?", "chosen": "I will not say.", "rejected": "Me.", "subset": "refusals"})
    (project / "bench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for folder, good, bad in (("helpful-base", "Yes.", "No."), ("harmless-base", "No.", "Yes, do.")):
        pairs = [
            {
                "chosen": f"\n\nHuman: Is it {n}?\n\nAssistant: {good}",
                "rejected": f"\n\nHuman: Is it {n}?\n\nAssistant: {bad}",
            }
            for n in range(4, 24)
        ]
        (project / folder).mkdir()
        (project / folder / "train.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return project


def test_a_table_by_subset_beside_baselines_and_an_mlflow_run(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["reward-bench", "bench.jsonl", "--reward", "rm", "--words", "helpful-base/train.jsonl"]
    assert main([*arguments, "--out", "numbers.json"]) == 0
    said = capsys.readouterr().out
    assert "bench.jsonl: read as trl: 8 rankings" in said
    assert "1 rankings do not fit into 96 tokens and are left out" in said
    assert "2 rankings of --words are on prompts that are measured, and were not fitted" in said
    report = json.loads((files / "numbers.json").read_text())
    assert list(report["subsets"]) == ["chat", "refusals", "all"]
    chat = report["subsets"]["chat"]
    assert (chat["rankings"], report["subsets"]["refusals"]["rankings"]) == (6, 1)
    assert chat["accuracy"]["bag of words"]["rate"] == 1.0  # `yes` is preferred in the other file as well
    assert chat["accuracy"]["longer response"]["rate"] == 1.0
    assert report["bag_of_words"]["pairs"] == 18
    [run] = tracking.runs(files, "reward-bench")
    assert run.params["reward"] == "rm"
    found = sorted(file.name for file in files.rglob("mlruns/**/artifacts/*") if file.is_file())
    assert found == ["reward-bench.json", "scores.jsonl"]
    [scores] = files.rglob("mlruns/**/scores.jsonl")
    first = json.loads(scores.read_text().splitlines()[0])
    assert first["subset"] == "chat"
    assert set(first["scores"]) == {"reward model", "longer response", "bag of words"}
    gaps = [row["scores"]["reward model"] for row in map(json.loads, scores.read_text().splitlines())]
    right = sum((a > b) + 0.5 * (a == b) for a, b in gaps) / len(gaps)
    assert report["subsets"]["all"]["accuracy"]["reward model"]["rate"] == pytest.approx(right, abs=1e-6)


def test_hh_pairs_are_told_apart_by_folder_or_file_and_bounded(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_classifier(files / "theirs")
    named = ["harmless-base/train.jsonl", "helpful-base/train.jsonl"]
    arguments = ["reward-bench", *named, "--reward", "theirs", "--limit", "3", "--out", "n.json"]
    assert main(arguments) == 0
    assert "--limit 3: 34 rankings, evenly spread, are left out" in capsys.readouterr().out
    report = json.loads((files / "n.json").read_text())
    assert {name: part["rankings"] for name, part in report["subsets"].items()} == {
        "harmless-base": 3,
        "helpful-base": 3,
        "all": 6,
    }
    elsewhere = str(files / named[0])
    assert main(["reward-bench", elsewhere, *arguments[2:], "--by", "file"]) == 0
    assert list(json.loads((files / "n.json").read_text())["subsets"]) == [elsewhere, named[1], "all"]


def test_what_cannot_be_measured_is_one_message_and_no_run(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "prompts.jsonl").write_text('{"prompt": "Who?"}\n')
    for arguments, said in (
        (["nothing.jsonl", "--reward", "rm"], "reward-bench: nothing.jsonl: no such file"),
        (["prompts.jsonl", "--reward", "rm"], "prompts.jsonl: read as trl: 0 rankings; 1 other records; "),
        (["bench.jsonl", "--reward", "gone"], "gone: no such checkpoint folder"),
        (["bench.jsonl", "--reward", "rm", "--format", "csv"], "there is no format 'csv'"),
        (["bench.jsonl", "--reward", "rm", "--split", "test"], "none of them is of the split test"),
    ):
        assert main(["reward-bench", *arguments]) == 1
        assert said in capsys.readouterr().err
    assert tracking.runs(files, "reward-bench") == []
