"""`python -m alignloop classify`: accuracies on a file, its transcript, and what cannot be classified."""

import json
import re
import shutil
from pathlib import Path

import pytest

from alignloop import tracking
from alignloop.__main__ import main

TEMPLATE = "Q: {text}\\nA: {label}"
WORDS = ["--labels", "yes=Yes", "no=Nobody,No"]


@pytest.fixture
def files(project: Path, tiny_policy: Path) -> Path:
    shutil.copytree(tiny_policy, project / "sft")
    rows = [f"Is it {n}?,{'yes' if n % 3 else 'no'}" for n in range(12)]
    (project / "test.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    shots = [{"text": f"Who {n}?", "label": "yes" if n % 2 else "no"} for n in range(4)]
    (project / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shots))
    return project


def test_accuracies_predictions_and_the_most_frequent_class(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["classify", "test.csv", "--policy", "sft", "--template", TEMPLATE, *WORDS]
    shots = ["--shots", "2", "--demonstrations", "train.jsonl", "--out", "numbers.json"]
    assert main([*arguments, *shots]) == 0
    report = json.loads((files / "numbers.json").read_text())
    assert report["classes"] == {"no": 4, "yes": 8}
    assert report["most_frequent"]["rate"] == pytest.approx(8 / 12, abs=1e-6)
    [kept] = files.rglob("mlruns/**/predictions.jsonl")
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert len(rows) == 12
    for way in ("plain", "calibrated"):
        right = sum(max(row[way], key=row[way].get) == row["label"] for row in rows) / 12
        assert report[way]["rate"] == pytest.approx(right, abs=1e-6)
        assert sum(report[way]["named"].values()) == 12
    blocks = rows[0]["prompt"].split("\n\n")
    assert len(blocks) == 3
    assert sorted(block.split("A: ")[1] for block in blocks[:2]) == ["Nobody", "Yes"]
    assert blocks[2] == "Q: Is it 0?\nA: "
    assert "most frequent class" in capsys.readouterr().out
    assert main([*arguments, "--limit", "3", "--chat"]) == 0
    assert "3 items" in capsys.readouterr().out
    assert len(tracking.runs(files, "classify")) == 2


def test_a_reasoning_is_written_before_the_label_and_stands_in_demonstrations(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shots = [{"text": f"Who {n}?", "label": "yes", "reasoning": f"{n} is it"} for n in range(2)]
    (files / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shots))
    template = "Q: {text}\\nStep by step: {reasoning}\\nSo: {label}"
    arguments = ["classify", "test.csv", "--policy", "sft", "--template", template, *WORDS, "--limit", "4"]
    with_shot = ["--shots", "1", "--demonstrations", "train.jsonl", "--max-new-tokens", "9"]
    assert main([*arguments, *with_shot]) == 0
    [kept] = files.rglob("mlruns/**/predictions.jsonl")
    rows = [json.loads(line)["prompt"] for line in kept.read_text().splitlines()]
    for row in rows:
        shot, own = row.split("\n\n")
        assert re.fullmatch(r"Q: Who (\d)\?\nStep by step: \1 is it\nSo: Yes", shot)
        assert re.fullmatch(r"Q: Is it \d+\?\nStep by step: (?s:.+)\nSo: ", own)
    reasonings = [row.split("Step by step: ")[-1] for row in rows]
    assert len(set(reasonings)) > 1, "each item has its own"
    shutil.rmtree(files / "mlruns" / "artifacts", ignore_errors=True)
    assert main([*arguments, "--chat", "--max-new-tokens", "9"]) == 0
    capsys.readouterr()
    assert main([*arguments, "--max-new-tokens", "90"]) == 1
    assert "leave no room for a reasoning of 90 in the context of 96" in capsys.readouterr().err
    (files / "train.jsonl").write_text(json.dumps({"text": "a", "label": "yes"}) + "\n")
    assert main([*arguments, *with_shot]) == 1
    assert "train.jsonl:1: has no field reasoning" in capsys.readouterr().err


def test_what_cannot_be_classified_is_one_message(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["classify", "test.csv", "--policy", "sft", "--template", TEMPLATE]
    for arguments, said in (
        (
            [*given, "--labels", "yes=Yes", "maybe=No"],
            "test.csv:2: label is 'no', which --labels has",
        ),
        ([*given, *WORDS, "--label-field", "class"], "test.csv:2: has no field class"),
        ([*given[:4], "--template", "{text}", *WORDS], "must end with {label}"),
        (
            [*given, *WORDS, "--shots", "9", "--demonstrations", "train.jsonl"],
            "4 items are not among those that are measured, 9 are wanted",
        ),
        ([*given, *WORDS, "--shots", "1", "--demonstrations", "test.csv"], "0 items are not among those"),
    ):
        assert main(arguments) == 1
        assert said in capsys.readouterr().err
    assert main([*given, *WORDS, "--shots", "1"]) == 2
    assert "name the file they are drawn from with --demonstrations" in capsys.readouterr().err
    assert tracking.runs(files, "classify") == []
