"""`python -m alignloop doctor`: for people and for programs, with an exit status that scripts can use."""

import json
from pathlib import Path
from typing import Any

import pytest

from alignloop.commands.doctor import command
from alignloop.training.public_base import PublicBaseError


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = command(arguments)
    return status, capsys.readouterr().out


def test_a_sound_checkpoint_is_ready_and_the_object_has_every_part(
    project: Path, tiny_policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, printed = run(capsys, str(tiny_policy), "--json", "--set", "ppo.prompts_per_step=8")
    assert status == 0
    found: dict[str, Any] = json.loads(printed)
    assert (found["ok"], found["device"], found["shape"]["family"]) == (True, "cpu", "llama")
    assert set(found["memory_bytes"]) == {"pretrain", "sft", "sample", "reward", "ppo", "evaluate"}
    assert min(found["rates"][name] for name in ("learned", "read", "drawn", "learned_otherwise")) > 0
    assert found["rates"]["slowdown"] >= 1
    assert found["seconds"]["ppo"] > 0
    assert all(set(each) == {"check", "severity", "message", "remedy"} for each in found["findings"])
    assert all(each["remedy"] for each in found["findings"] if each["severity"] != "ok")


def test_a_broken_checkpoint_fails_with_its_remedy_in_lines_that_fit(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, printed = run(capsys, str(tmp_path))
    assert status == 1
    assert "error    files       " in printed
    assert "→ " in printed
    assert printed.rstrip().endswith("a stage would fail: 1 error, 0 warnings")
    assert max(map(len, printed.splitlines())) <= 110
    status, printed = run(capsys, str(tmp_path / "nowhere"), "--json")
    assert (status, json.loads(printed)["ok"]) == (1, False)


def test_contradicting_parameters_are_findings_and_files_and_settings_count(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("ppo: {minibatches: 900}\n")
    status, printed = run(capsys, "--json", "--with", str(own), "--set", "ppo.value_warmup_steps=90")
    found = json.loads(printed)
    assert status == 1
    assert [each["check"] for each in found["findings"]] == ["parameters"] * 2
    assert "ppo.value_warmup_steps: 90 leave none" in found["findings"][0]["message"]
    assert "ppo.minibatches: 900 exceed" in found["findings"][1]["message"]


def test_wrong_parameters_leave_the_checkpoint_s_own_faults_to_be_told_in_the_same_run(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [
        "compute.shard=full",
        "rollout.engine=vllm",
        "compute.frozen_weights=4bit",
        "prepare.valid_share=-1",
    ]
    changes = [part for each in wrong for part in ("--set", each)]
    status, printed = run(capsys, str(tmp_path / "nowhere"), "--json", *changes)
    found = json.loads(printed)["findings"]
    assert status == 1
    assert [each["check"] for each in found] == ["parameters"] * 5 + ["files", "memory"]
    said = [each["message"] for each in found]
    assert all(each.startswith("params.yaml and --set of 4 keys: ") for each in said[:5])
    for part in (
        "prepare.valid_share",
        "full needs several processes",
        "4bit is for",
        "4bit cannot be",
        "vllm is",
    ):
        assert any(part in each for each in said), part
    assert "no such checkpoint folder" in said[5]


@pytest.mark.parametrize("preset", ["laptop", "gpu-24gb", "gpu-80gb", "node-8x80gb"])
def test_a_preset_for_checkpoints_does_not_contradict_the_built_in_base_s_context(
    project: Path, tiny_policy: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(__file__).parents[2] / "configs" / f"{preset}.yaml"
    _, printed = run(capsys, str(tiny_policy), "--json", "--no-times", "--with", str(file))
    assert "parameters" not in [each["check"] for each in json.loads(printed)["findings"]]


def test_a_public_base_that_is_not_fetched_yet_is_told_how(project: Path) -> None:
    with pytest.raises(PublicBaseError, match=r"run `python -m alignloop base smollm2`$"):
        command(["smollm2"])


def test_the_table_of_sizes_names_the_claims(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = run(capsys, "--sizes")
    assert status == 0
    assert "| Qwen2.5-1.5B | 1,544 M | 72 GB | 16 GB | 7.2 GB |" in printed
