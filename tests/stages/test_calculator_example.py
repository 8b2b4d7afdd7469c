"""configs/calculator.yaml: valid over the defaults, and a policy that earns by what it says in the end."""

import contextlib
from pathlib import Path
from typing import Any

import yaml

from alignloop.core.models import new_policy, save_policy
from alignloop.core.tokens import train_tokenizer
from alignloop.data.record_files import read, write
from alignloop.pipeline.overrides import preview
from alignloop.records import Demonstration, Prompt, Rollout
from alignloop.scoring.final_number import final_number
from alignloop.tool_turns import ToolCall
from alignloop.tools.calculator import calculator
from alignloop.tools.call_form import CallForm
from alignloop.tools.definition import definition_of
from alignloop.tools.offer import with_tools
from tests.conftest import TEXTS
from tests.stages.loop import PROJECT, Loop, said, tiny

EXAMPLE = PROJECT / "configs" / "calculator.yaml"
CALCULATOR = "alignloop.tools.calculator:calculator"
SUMS = ["3 + 4", "6 + 2", "5 * 2", "9 - 4"]
CONTEXT = 1200  # as the example and docs/tools.md state


def test_the_example_is_valid_and_needs_the_context_that_it_states() -> None:
    files = [PROJECT / "configs" / "files.yaml", EXAMPLE]
    params = preview(PROJECT / "params.yaml", files, {"base": "path/to/checkpoint"})
    assert params.tools.functions[0].function == CALCULATOR
    longest = params.tools.longest(params.decoding.max_new_tokens)
    assert longest + 200 <= CONTEXT
    assert f"up to {longest}, a prompt 200" in EXAMPLE.read_text()
    assert f"{CONTEXT:,}" in EXAMPLE.read_text()


def test_ppo_scores_the_number_that_a_response_with_the_calculator_ends_with(tmp_path: Path) -> None:
    example: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    loop = _loop(tmp_path)
    few = {"steps": 2, "prompts_per_step": 2, "minibatches": 2, "learning_rate": 1e-4, "ptx_coef": 0.0}
    sizes = {"tools": example["tools"] | {"max_calls": 1}, "decoding": {"max_new_tokens": 60}}
    with contextlib.chdir(tmp_path):
        loop.sft(tiny(**sizes, sft={"epochs": 90.0, "learning_rate": 1e-2, "demonstrations_per_step": 4}))
        steps = loop.ppo(tiny(**sizes, ppo=example["ppo"] | few | {"guards": {}}))
    assert len(steps) == 2
    assert sum(step.metrics["tool_answered"] for step in steps) > 0
    rollouts = read(tmp_path / "policy-rollouts" / "rollouts.jsonl", Rollout)
    answers = {each.id: each.check for each in read(tmp_path / "prompts" / "train.jsonl", Prompt)}
    for each in rollouts:
        right = (answers[each.prompt] or {})["answer"]
        assert each.score == float(final_number(each.response) == int(right)) or not each.ended
    right_results = [
        turn
        for each in rollouts
        for turn in each.turns or ()
        if turn.tool == "calculator" and turn.text in {calculator(text) for text in SUMS}
    ]
    assert right_results, "the calculator has answered"


def _loop(root: Path) -> Loop:
    """Prompts that are sums with the right number, and demonstrations that call the calculator for them."""
    definition = definition_of(calculator)
    assert definition
    [system, _] = with_tools([{"role": "user", "content": "?"}], [definition.as_schema()], CallForm())
    told: list[Demonstration] = []
    prompts: list[Prompt] = []
    texts = [system["content"]] * 9
    for number, text in enumerate(SUMS):
        question, result = said("user", f"How much is {text}?"), calculator(text)
        answer = said("assistant", f"It is {result}.")
        call = ToolCall(name="calculator", arguments={"expression": text}, result=result)
        common: dict[str, Any] = {"user": "u", "source": "s"}
        told.append(
            Demonstration(id=f"d{number}", messages=(question, answer), labeler="l", calls=(call,), **common)
        )
        prompts.append(Prompt(id=f"p{number}", messages=(question,), check={"answer": result}, **common))
        texts += [CallForm().written("calculator", call.arguments), question.content, answer.content] * 3
    tokenizer = train_tokenizer([*TEXTS * 3, *texts], 700)
    model = new_policy(tokenizer, layers=1, width=32, heads=2, context=400, seed=0)
    save_policy(model, tokenizer, root / "base")
    loop = Loop(root, root / "base")
    for split in ("train", "valid"):
        write(root / "demonstrations" / f"{split}.jsonl", told)
        write(root / "prompts" / f"{split}.jsonl", prompts)
    return loop
