"""`ppo.score` in the stage: the reward model as a part changes nothing, other parts are logged by name, a
failing one stops the run, and the same command continues once it is mended.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from alignloop.data.record_files import read, write
from alignloop.pipeline.dvc_pipeline import Pipeline
from alignloop.records import Prompt, Rollout
from alignloop.scoring.drawn import ScoreError
from alignloop.tracking.metric_names import grouped
from alignloop.training.checkpoints import Checkpoint
from tests.conftest import PROJECT
from tests.pipeline.test_dvc_code_deps import shell
from tests.scoring.conftest import forget, save_classifier
from tests.stages.loop import Loop, tiny

RLOO: dict[str, Any] = {"advantages": "rloo", "responses_per_prompt": 2, "prompts_per_step": 4}
LENGTH = "def score(prompts, responses):\n    return [len(each) / 10 for each in responses]\n"
FAILS = "def score(prompts, responses):\n    return [float('nan')] * len(responses)\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_policy: Path) -> Loop:
    """SFT and a reward model; every prompt asks for the number 13 without a comma."""
    loop = Loop(tmp_path_factory.mktemp("loop"), tiny_policy)
    loop.sft(tiny())
    loop.reward(tiny())
    check = {"answer": "13", "instructions": [{"id": "punctuation:no_comma"}]}
    file = loop.root / "prompts" / "train.jsonl"
    write(file, [prompt.model_copy(update={"check": check}) for prompt in read(file, Prompt)])
    (loop.root / "scores").mkdir()
    (loop.root / "scores" / "__init__.py").touch()
    save_classifier(loop.root / "other")
    return loop


@pytest.fixture
def loop(made: Loop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    monkeypatch.chdir(made.root)
    monkeypatch.syspath_prepend(str(made.root))
    forget()
    yield made
    forget()


def own(root: Path, text: str) -> dict[str, Any]:
    """The score function of this text, as a part."""
    (root / "scores" / "own.py").write_text(text)
    forget()
    return {"kind": "function", "function": "scores.own:score", "weight": -1.0, "shift": 0.5}


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_reward_model_as_the_only_part_gives_the_bytes_of_the_default(loop: Loop) -> None:
    loop.ppo(tiny(), "default")
    loop.ppo(tiny(ppo={"score": {"round": {"kind": "reward", "weight": 1.0}}}), "summed")
    assert bytes_of(loop.root / "summed") == bytes_of(loop.root / "default")
    assert '"scores"' not in (loop.root / "default-rollouts" / "rollouts.jsonl").read_text()


def test_each_part_is_in_curves_metrics_and_rollouts_by_its_name(loop: Loop) -> None:
    parts = {
        "round": {"kind": "reward", "weight": 0.5},
        "other": {"kind": "checkpoint", "path": "./other", "weight": 0.25, "shift": 1.0},
        "exact": {"kind": "final_number", "weight": 1.0},
        "format": {"kind": "instructions", "weight": 2.0},
        "length": own(loop.root, LENGTH),
    }
    steps = loop.ppo(tiny(ppo={"score": parts, "missing_eos_score": None}), "parts")
    rollouts = read(loop.root / "parts-rollouts" / "rollouts.jsonl", Rollout)
    assert len(rollouts) == 16
    for each in rollouts:
        of = each.scores
        assert of is not None
        assert of["length"] == round(len(each.response) / 10, 6)
        assert of["format"] == float("," not in each.response and bool(each.response.strip()))
        total = 0.5 * of["round"] + 0.25 * (of["other"] - 1) + of["exact"] + 2 * of["format"]
        assert each.score == pytest.approx(total - (of["length"] - 0.5), abs=1e-5)
    names = [f"score_of_{name}" for name in parts]
    assert set(names) < set(steps[-1].metrics)
    assert "ppo/score_of_exact" in grouped("ppo", steps[-1].metrics)
    numbers = loop.numbers("parts")
    curve = list(csv.DictReader((loop.root / "parts.csv").read_text().splitlines()))
    for name in names:
        mean = sum(float(row[name]) for row in curve) / len(curve)
        assert numbers[f"final_{name}"] == pytest.approx(mean, rel=1e-4)


def test_a_failing_score_stops_with_the_prompt_and_the_mended_one_continues(
    loop: Loop, tmp_path: Path
) -> None:
    def run(text: str, out: str) -> None:
        plan = {**RLOO, "steps": 3, "score": {"own": own(loop.root, text)}}
        loop.ppo(tiny(ppo=plan), out, Checkpoint(tmp_path / out, "ppo", "f", 1))

    fails = "state = {'calls': 0}\n" + LENGTH.replace(
        "    return", "    state['calls'] += 1\n    if state['calls'] >= 3: raise OSError('gone')\n    return"
    )
    run(LENGTH, "whole")
    with pytest.raises(ScoreError, match=r"ppo.score.own: prompt p\d+: OSError: gone \(own.py, line 4\)"):
        run(fails, "broken")
    assert not (loop.root / "broken").exists()
    run(LENGTH, "broken")
    assert bytes_of(loop.root / "broken") == bytes_of(loop.root / "whole")
    lines = (loop.root / "broken-rollouts" / "rollouts.jsonl").read_bytes()
    assert lines == (loop.root / "whole-rollouts" / "rollouts.jsonl").read_bytes()
    with pytest.raises(ScoreError, match=r"ppo.score.own: prompts? p\d+.*: gave nan, which is not finite"):
        run(FAILS, "nan")


def test_the_how_tos_example_is_a_score_that_runs(loop: Loop) -> None:
    page = (PROJECT / "docs" / "how-to.md").read_text()
    example = page.split("## Choose what PPO raises")[1].split("```yaml\n")[1].split("```")[0]
    plan = yaml.safe_load(example)["ppo"]
    (loop.root / "scores" / "brevity.py").write_bytes((PROJECT / "scores" / "brevity.py").read_bytes())
    loop.ppo(tiny(ppo=plan), "example")
    assert {"final_score_of_exact", "final_score_of_brief"} < set(loop.numbers("example"))


def test_a_changed_function_runs_ppo_again_and_nothing_before_it(project: Path) -> None:
    stages: dict[str, Any] = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    assert [name for name, stage in stages.items() if "scores" in stage.get("do", stage)["deps"]] == ["ppo"]
    (project / "scores").mkdir()
    (project / "scores" / "own.py").write_text(LENGTH)
    stage = {"cmd": "echo ${key} > ${key}.txt", "deps": ["scores"], "outs": ["${key}.txt"]}
    pipeline = {"stages": {"ppo": {"foreach": {"r1": {}, "r2": {}}, "do": stage}}}
    (project / "dvc.yaml").write_text(json.dumps(pipeline))

    def run() -> list[str]:
        return [Pipeline(project).bring_up_to_date(f"ppo@{name}", shell) for name in ("r1", "r2")]

    assert run() == ["ran", "ran"]
    (project / "scores" / "own.py").write_text(f'"""A comment is no change."""\n{LENGTH}')
    assert run() == ["unchanged", "unchanged"]
    (project / "scores" / "own.py").write_text(LENGTH.replace("10", "20"))
    assert run() == ["ran", "ran"]
