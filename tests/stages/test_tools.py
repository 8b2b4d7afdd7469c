"""Stages whose responses call a tool: what SFT learns, records of PPO, sample and evaluate, best of n."""

import contextlib
import csv
import functools
import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from alignloop.__main__ import main
from alignloop.core.models import load_policy, new_policy, save_policy
from alignloop.core.tokens import train_tokenizer
from alignloop.data.record_files import read, write
from alignloop.params import Params
from alignloop.records import Demonstration, EvaluatedResponse, Rollout, Samples
from alignloop.tool_turns import ToolCall, Turns
from alignloop.tools.call_form import CallForm
from alignloop.tools.definition import Definition
from alignloop.tools.demonstrations import calls_in, rows_with_tools
from alignloop.tools.offer import with_tools
from alignloop.tools.responder import open_responder
from alignloop.tools.schemas import ToolError
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.encoding import chat
from tests.conftest import TEXTS
from tests.stages.loop import QUESTIONS, Loop, said, tiny

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
    (root / "own_tools").mkdir()
    (root / "own_tools" / "__init__.py").touch()
    (root / "own_tools" / "counts.py").write_text(TOOL)
    schema = Definition("count", "Counts.", {"type": "object"}).as_schema()
    [system, _] = with_tools([{"role": "user", "content": "?"}], [schema], CallForm())
    tokenizer = train_tokenizer(
        [*TEXTS * 3, *QUESTIONS * 3, *[system["content"], CALL, "It is 13."] * 9], 700
    )
    save_policy(
        new_policy(tokenizer, layers=1, width=32, heads=2, context=300, seed=0), tokenizer, root / "base"
    )
    loop = Loop(root, root / "base")
    told = [
        Demonstration(
            id=f"d{number}",
            messages=(said("user", question), said("assistant", "It is 13.")),
            calls=(ToolCall(name="count", arguments={}, result="13"),),
            user="u",
            labeler="l",
            source="s",
        )
        for number, question in enumerate(QUESTIONS * 4)
    ]
    for split in ("train", "valid"):
        write(root / "demonstrations" / f"{split}.jsonl", told)
    with contextlib.chdir(root):
        loop.sft(params(["own_tools.counts:count"], sft={"epochs": 30.0, "learning_rate": 1e-2}))
    loop.reward(tiny())
    return loop


def params(functions: list[str], **sections: dict[str, Any]) -> Params:
    made = [{"function": name, "network": False, "settings": {}} for name in functions]
    tools = {"functions": made, "max_calls": 1, "answer_tokens": 40, "timeout_s": 5.0}
    common: dict[str, dict[str, Any]] = {
        "tools": tools,
        "ppo": {"steps": 3, "learning_rate": 1e-4},
        "decoding": {"max_new_tokens": 26},
    }
    return tiny(**common, **sections)


def test_a_policy_calls_learns_and_resumes_to_the_same_bytes(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(loop.root)
    plan = params(["own_tools.counts:count"])
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
    with pytest.raises(Exception, match=r"tools: own_tools.counts:nothing cannot be used"):
        loop.ppo(params(["own_tools.counts:nothing"]), "none")
    assert not (loop.root / "none").exists()


def test_sft_learns_calls_and_last_turns_and_never_a_tools_words(loop: Loop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(loop.root)
    [demonstration] = read(loop.root / "demonstrations" / "train.jsonl", Demonstration)[:1]
    _, tokenizer = load_policy(loop.root / "sft")
    plan = params(["own_tools.counts:count"])
    with open_responder(plan.tools, tokenizer) as responder:
        assert responder.tools
        [row], too_long = rows_with_tools(responder, tokenizer, [demonstration], "last", 300)
        prompt = responder.encode_prompt(tokenizer, chat(demonstration.messages[:-1]))
        assert (row.ids[: len(prompt)], too_long) == (prompt, 0)
        turns = responder.turns(row.ids[len(prompt) :])
        assert turns
        assert [(turn.by, turn.text) for turn in turns] == [
            ("policy", CALL),
            ("tool", "13"),
            ("policy", "It is 13."),
        ]
        by = [mine for turn in turns for mine in [turn.by == "policy"] * turn.tokens]
        assert row.mask == [False] * len(prompt) + by
        assert calls_in(responder.tools, turns) == demonstration.calls
    forbidden = demonstration.model_copy(
        update={"messages": (said("system", "browsing: disabled"), *demonstration.messages)}
    )
    with (
        pytest.raises(ToolError, match=r"1 demonstrations \(d0\) call tools, .* browsing: disabled; leave"),
        open_responder(plan.tools, tokenizer) as responder,
    ):
        rows_with_tools(responder, tokenizer, [forbidden], "last", 300)
    with (
        pytest.raises(ToolError, match=r"there is no count, which 1 demonstrations call \(d0\); add it, or"),
        open_responder(tiny().tools, tokenizer) as none,
    ):
        rows_with_tools(none, tokenizer, [demonstration], "last", 300)


def check_turns(turns: Turns | None, response: str) -> bool:
    """Whether a response called the tool; what it says is its last turn."""
    assert turns
    assert turns[-1].text == response
    assert [turn.by for turn in turns] == ["policy", "tool", "policy"][-len(turns) :]
    return len(turns) == 3


def test_samples_and_evaluated_responses_keep_what_led_to_them(loop: Loop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(loop.root)
    write(loop.root / "sft-rollouts" / "rollouts.jsonl", list[Rollout]())
    loop.next_round(params(["own_tools.counts:count"], evaluate={"prompts": 16, "best_of": [2]}), "sft")
    drawn = read(loop.root / "samples.jsonl", Samples)
    called = 0
    for each in drawn:
        assert each.turns
        pairs = zip(each.turns, each.responses, strict=True)
        called += sum(check_turns(turns, response) for turns, response in pairs)
    assert called > 0
    evaluated = read(loop.root / "answers" / "responses.jsonl", EvaluatedResponse)
    mine = [each for each in evaluated if each.model == "policy"]
    assert sum(check_turns(each.turns, each.response) for each in mine) == round(
        16 * loop.numbers("evaluate")["models"]["policy"]["sources"]["called"]
    )
    assert any(turn.text == "13" for each in mine for turn in each.turns or () if turn.by == "tool")
    assert loop.numbers("evaluate")["kl_to_sft_nats"] == pytest.approx(0, abs=1e-4), "it is SFT itself"
    assert all(each.turns and each.tokens == each.turns[-1].tokens for each in mine)


def test_the_best_of_n_is_a_demonstration_with_its_calls(loop: Loop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(loop.root)
    plan = params(["own_tools.counts:count"]).model_dump(by_alias=True)
    Path("params.yaml").write_text(yaml.safe_dump(plan))
    command = [
        "best-of",
        "--policy",
        "sft",
        "--reward",
        "reward",
        "--prompts",
        "prompts/test.jsonl",
        "--n",
        "2",
    ]
    assert main([*command, "--out", "best.jsonl"]) == 0
    made = read(Path("best.jsonl"), Demonstration)
    called = [each for each in made if each.calls]
    assert called
    assert {call.name for each in called for call in each.calls} == {"count"}
    assert all(each.messages[-1].role == "assistant" for each in made)
