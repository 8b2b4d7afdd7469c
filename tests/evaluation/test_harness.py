"""Tasks of the lm-evaluation-harness: checks before a run, its numbers, and a run of the real one."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from alignloop import tracking
from alignloop.__main__ import main
from alignloop.checks import harness_tasks
from alignloop.checks.harness_tasks import check_tasks, task_files
from alignloop.core.models import load_policy, new_policy, save_policy
from alignloop.core.tokens import train_tokenizer
from alignloop.evaluation.harness import harness_numbers, run_tasks
from alignloop.evaluation.results_table import tasks_table
from alignloop.params.evaluate import HarnessTask
from alignloop.pipeline.overrides import override
from alignloop.tracking.metric_names import of_tasks
from tests.conftest import PROJECT, TEXTS
from tests.stages.loop import Loop, tiny

INSTALLED = importlib.util.find_spec("lm_eval") is not None
PLAN = HarnessTask(shots=[0], chat=False, limit=None)
CHOICE = """\
task: sea
dataset_path: json
dataset_kwargs: {data_files: {train: harness/sea.jsonl, test: harness/sea.jsonl}}
fewshot_split: train
test_split: test
output_type: multiple_choice
doc_to_text: "Q: {{question}}\\nA:"
doc_to_choice: choices
doc_to_target: label
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


def faults(tasks: dict[str, HarnessTask], root: Path) -> list[str]:
    return [f"{each.message}; {each.remedy}" for each in check_tasks(tasks, root)]


def test_a_missing_package_task_or_file_is_said_before_anything_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert faults({}, project) == [], "nothing is asked for, so nothing is needed"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    install = harness_tasks.INSTALL
    assert faults({"sea": PLAN}, project) == [
        f"evaluate.tasks needs the package lm_eval, which is not here; {install}",
        "evaluate.tasks.sea: no file in harness/ has `task: sea`; there is none; put its YAML file into "
        "harness/",
    ]
    monkeypatch.undo()
    monkeypatch.chdir(project)
    if not INSTALLED:
        assert main(["harness", "sea", "--policy", "models/sft"]) == 1
        assert "lm_eval, which is not here" in capsys.readouterr().err
    (project / "harness" / "deep").mkdir(parents=True)
    (project / "harness" / "deep" / "sea.yaml").write_text(f"{CHOICE}num_fewshot: 2\n")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "found")
    assert faults({"sea": PLAN}, project) == [
        "harness/deep/sea.yaml: num_fewshot would hide the shots of evaluate.tasks; remove the line"
    ]
    assert "there are sea" in faults({"lake": PLAN}, project)[0]


def test_the_examples_that_come_along_are_tasks_on_files_that_come_along() -> None:
    known = task_files(PROJECT)
    assert set(known) == {"gsm8k", "gsm8k_choice", "gsm8k_reasoning"}
    assert check_tasks({}, PROJECT) == []
    rows = [json.loads(line) for line in (PROJECT / "harness" / "gsm8k.jsonl").read_text().splitlines()]
    assert len(rows) == 60
    assert all(len(set(row["choices"])) == 4 for row in rows)
    assert all(row["choices"][row["label"]] == row["number"] for row in rows)


def test_numbers_have_the_intervals_of_their_samples() -> None:
    results = {"alias": "t", "acc,none": 0.75, "acc_stderr,none": 0.2, "word_perplexity,none": 9.0}
    results |= {"exact_match,number": 0.25, "bits,none": 1.5, "samples,none": 4}
    samples = [
        {"doc_id": n, "filter": "none", "acc": float(n < 3), "bits": float(n), "word_perplexity": (1.0, 2)}
        for n in range(4)
    ] + [{"doc_id": n, "filter": "number", "exact_match": float(n == 0)} for n in range(4)]
    found = harness_numbers(results, samples, 2)
    assert (found["samples"], found["cut"]) == (4, 2)
    assert found["acc"] == pytest.approx({"value": 0.75, "low": 0.300642, "high": 0.954413}, abs=1e-5)
    assert found["exact_match number"]["value"] == 0.25
    half = 1.96 * (5 / 3 / 4) ** 0.5  # variance 5/3 of 0, 1, 2, 3
    assert found["bits"] == pytest.approx({"value": 1.5, "low": 1.5 - half, "high": 1.5 + half})
    assert found["word_perplexity"] == {"value": 9.0, "low": None, "high": None}


def test_the_table_has_a_row_for_each_metric_and_shots_and_mlflow_a_number() -> None:
    def model(value: float) -> dict[str, Any]:
        metrics = {
            "acc": {"value": value, "low": 0.1, "high": 0.9},
            "ppl": {"value": 7.0, "low": None, "high": None},
        }
        return {"sea": {"0": {**metrics, "samples": 8, "cut": 1}}}

    numbers = {"base": model(0.25), "sft": model(0.5), "policy": model(0.75)}
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in tasks_table(numbers, "r2").splitlines()
    ]
    assert rows[0] == ["task", "shots", "metric", "samples", "base", "SFT", "r2"]
    assert rows[2][4:] == ["0.250 [0.100, 0.900]", "0.500 [0.100, 0.900]", "0.750 [0.100, 0.900]"]
    assert rows[3][2:] == ["ppl", "8", "7.000", "7.000", "7.000"]
    assert "3 samples exceeded the context" in tasks_table(numbers, "r2")
    points = of_tasks("evaluate", numbers)
    assert points["eval/tasks/policy/sea 0 shots/acc"] == 0.75
    assert points["eval/tasks/policy/sea 0 shots/acc low"] == 0.1
    assert "eval/tasks/policy/sea 0 shots/ppl low" not in points
    assert len(points) == 3 * (3 + 1)


@pytest.mark.skipif(not INSTALLED, reason="the optional extra `harness` is not installed")
def test_the_harness_measures_a_policy_as_its_own_logits_do(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    shutil.copytree(PROJECT / "harness", project / "harness")
    tokenizer = train_tokenizer(TEXTS * 3, 300)
    save_policy(new_policy(tokenizer, 1, 16, 2, context=512, seed=0), tokenizer, project / "sft")
    (project / "harness" / "sea.yaml").write_text(CHOICE)
    rows = [
        {"question": f"Is door {n} green?", "choices": ["Yes, it is.", "Nobody", "No"], "label": n % 3}
        for n in range(9)
    ]
    (project / "harness" / "sea.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model, tokenizer = load_policy(project / "sft")
    found = run_tasks(model, tokenizer, {"sea": PLAN}, name="sft", seed=1, max_new_tokens=8)
    lines = [json.loads(line) for line in found.lines]
    assert [line["id"] for line in lines] == list(range(9))
    right = 0
    for line, row in zip(lines, rows, strict=True):
        chances = [_logprob(model, tokenizer, line["prompts"][0], f" {each}") for each in row["choices"]]
        right += chances.index(max(chances)) == row["label"]
    assert found.numbers["sea"]["0"]["acc"]["value"] == pytest.approx(right / 9)
    override(project / "params.yaml", changes={"decoding.max_new_tokens": 6})
    words = ["harness", "gsm8k", "gsm8k_reasoning", "--policy", "sft", "--shots", "0", "2", "--limit", "3"]
    assert main([*words, "--out", "numbers.json"]) == 0
    said = capsys.readouterr().out
    assert "gsm8k_reasoning | 2" in " ".join(said.split())
    numbers = json.loads((project / "numbers.json").read_text())["policy"]
    assert {len(of) for of in numbers.values()} == {2}
    [kept] = project.rglob("mlruns/**/tasks.jsonl")
    assert len(kept.read_text().splitlines()) == 2 * 2 * 3
    assert len(tracking.runs(project, "harness")) == 1
    (project / "harness" / "sea.jsonl").write_text("{}\n")
    assert main(["harness", "sea", "--policy", "sft"]) == 1
    assert "evaluate.tasks.sea: the harness fails with 0 shots" in capsys.readouterr().err


@pytest.mark.skipif(not INSTALLED, reason="the optional extra `harness` is not installed")
def test_an_evaluation_measures_base_sft_and_the_policy(
    tmp_path: Path, tiny_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "sea.yaml").write_text(CHOICE)
    row = {"question": "Is it green?", "choices": ["Yes", "No"], "label": 0}
    (tmp_path / "harness" / "sea.jsonl").write_text(f"{json.dumps(row)}\n" * 5)
    loop = Loop(tmp_path, tiny_policy)
    shutil.copytree(tiny_policy, tmp_path / "sft")
    params = tiny(evaluate={"tasks": {"sea": {"shots": [0, 1], "chat": False, "limit": 4}}})
    loop.reward(params)
    loop.dpo(params)
    loop.next_round(params, "policy")
    found = loop.numbers("evaluate")["tasks"]
    assert list(found) == ["base", "sft", "policy"]
    assert found["base"] == found["sft"], "the same checkpoint"
    assert all(of["sea"][shots]["samples"] == 4 for of in found.values() for shots in ("0", "1"))
    lines = (tmp_path / "answers" / "tasks.jsonl").read_text().splitlines()
    assert len(lines) == 3 * 2 * 4


def _logprob(model: Any, tokenizer: Any, before: str, after: str) -> float:
    import torch

    ids = tokenizer.encode(before + after, add_special_tokens=False)
    start = len(tokenizer.encode(before, add_special_tokens=False))
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logits[n - 1, ids[n]]) for n in range(start, len(ids)))
