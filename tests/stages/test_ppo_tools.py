"""PPO whose responses call a tool: curves, rollouts as records, and a resumed training of the same bytes."""

import csv
import functools
import itertools
from pathlib import Path
from typing import Any

import pytest

from alignloop.core.models import new_policy, save_policy
from alignloop.core.tokens import train_tokenizer
from alignloop.data.record_files import read, write
from alignloop.params import Params
from alignloop.records import Demonstration, Message, Rollout
from alignloop.tools.call_form import CallForm
from alignloop.tools.definition import Definition
from alignloop.tools.offer import with_tools
from alignloop.training.checkpoints import Checkpoint
from tests.conftest import TEXTS
from tests.stages.loop import QUESTIONS, Loop, tiny

TOOL = """from alignloop.tools.definition import tool

@tool("count", "Counts.", {"type": "object"})
def count():
    return 13
"""
CALL = CallForm().written("count", {})


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """SFT has learned to call the tool, whatever it is asked."""
    root = tmp_path_factory.mktemp("loop")
    (root / "scores").mkdir()
    (root / "scores" / "__init__.py").touch()
    (root / "scores" / "counts.py").write_text(TOOL)
    schema = Definition("count", "Counts.", {"type": "object"}).as_schema()
    [system, _] = with_tools([{"role": "user", "content": "?"}], [schema], CallForm())
    tokenizer = train_tokenizer([*TEXTS * 3, *QUESTIONS * 3, *[system["content"], CALL] * 9], 700)
    save_policy(
        new_policy(tokenizer, layers=1, width=32, heads=2, context=300, seed=0), tokenizer, root / "base"
    )
    loop = Loop(root, root / "base")
    told = [
        Demonstration(
            id=f"d{number}",
            messages=(
                Message(role="system", content=system["content"]),
                Message(role="user", content=question),
                Message(role="assistant", content=CALL),
            ),
            user="u",
            labeler="l",
            source="s",
        )
        for number, question in enumerate(QUESTIONS * 4)
    ]
    for split in ("train", "valid"):
        write(root / "demonstrations" / f"{split}.jsonl", told)
    loop.sft(tiny(sft={"epochs": 30.0, "learning_rate": 1e-2}))
    loop.reward(tiny())
    return loop


def params(functions: list[str], **changes: Any) -> Params:
    made = [{"function": name, "network": False, "settings": {}} for name in functions]
    tools = {"functions": made, "max_calls": 1, "answer_tokens": 40, "timeout_s": 5.0}
    return tiny(
        ppo={"tools": tools, "steps": 3, "learning_rate": 1e-4, **changes}, decoding={"max_new_tokens": 26}
    )


def test_a_policy_calls_learns_and_resumes_to_the_same_bytes(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(loop.root)
    plan = params(["scores.counts:count"])
    steps = loop.ppo(plan, "whole", Checkpoint(tmp_path / "whole", "ppo", "f", 1))
    assert min(step.metrics["tool_answered"] for step in steps) > 0
    assert all(step.metrics["ratio_first"] == pytest.approx(1, abs=1e-3) for step in steps)
    rollouts = read(loop.root / "whole-rollouts" / "rollouts.jsonl", Rollout)
    called = [each for each in rollouts if each.turns and len(each.turns) == 3]
    assert len(called) == round(8 * sum(step.metrics["tool_calls"] for step in steps))
    right = [each for each in called if each.turns and each.turns[1].text == "13"]
    assert len(right) == sum(step.metrics["tool_answered"] for step in steps)
    for each in called:
        assert each.turns
        assert [turn.by for turn in each.turns] == ["policy", "tool", "policy"]
        assert each in right or each.turns[1].text.startswith("error: ")
        assert each.response == each.turns[2].text
        assert each.tokens == each.turns[0].tokens + each.turns[2].tokens
    curve = list(csv.DictReader((loop.root / "whole.csv").read_text().splitlines()))
    assert [float(row["tool_answered"]) for row in curve] == [step.metrics["tool_answered"] for step in steps]
    monkeypatch.setattr(Loop, "_policy", _left_after_two_steps)
    loop.ppo(plan, "left", Checkpoint(tmp_path / "left", "ppo", "f", 1))
    monkeypatch.undo()
    monkeypatch.chdir(loop.root)
    loop.ppo(plan, "left", Checkpoint(tmp_path / "left", "ppo", "f", 1))
    for file in ("left/model.safetensors", "left-rollouts/rollouts.jsonl", "left.csv"):
        assert (loop.root / file).read_bytes() == (loop.root / file.replace("left", "whole")).read_bytes()


POLICY = Loop._policy


def _left_after_two_steps(self: Loop, by: Any, *rest: Any) -> list[Any]:
    """The stage's first steps; then its generator is closed, as when the process is interrupted."""

    @functools.wraps(by)
    def first(*args: Any, **options: Any) -> list[Any]:
        stage = by(*args, **options)
        found = list(itertools.islice(stage, 2))
        stage.close()
        return found

    return POLICY(self, first, *rest)


def test_a_tool_that_cannot_be_used_stops_the_stage_before_it_draws(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(loop.root)
    with pytest.raises(Exception, match=r"ppo.tools: scores.counts:nothing cannot be used"):
        loop.ppo(params(["scores.counts:nothing"]), "none")
    assert not (loop.root / "none").exists()
