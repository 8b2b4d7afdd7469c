"""Tools in processes of their own: whatever a call or a tool does, there is one bounded answer, counted."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core.generate import Responses
from alignloop.core.logprobs import per_token_logprobs
from alignloop.core.sampler import OwnSampler
from alignloop.core.tokens import TokenRules, encode_prompt, encode_response
from alignloop.params.tools import ToolFunction, Tools
from alignloop.tools.schemas import ToolError
from alignloop.tools.toolbox import OUTCOMES, Toolbox, open_tools
from alignloop.training.rollout_records import rollout_records
from tests.core.bandit import CONFIG, Run

CALCULATOR = "alignloop.tools.calculator:calculator"


def plan(*functions: str, **changes: Any) -> Tools:
    made = [ToolFunction(function=name, network=False, settings={}) for name in functions]
    return Tools(functions=made, max_calls=2, answer_tokens=300, timeout_s=1.0).model_copy(update=changes)


@pytest.fixture(scope="module")
def tools(tokenizer: PreTrainedTokenizerFast, root: Path) -> Iterator[Toolbox]:
    with open_tools(plan(CALCULATOR, "own_tools.bad:hostile"), tokenizer, root) as tools:
        assert tools
        yield tools


def ask(tools: Toolbox, tokenizer: PreTrainedTokenizerFast, *texts: str) -> list[tuple[str, str]]:
    """How each call ended, and what was answered."""
    turns = [encode_response(tokenizer, text) for text in texts]
    assert all(tools.is_call(turn) for turn in turns)
    answers = tools.answer(turns)
    last = encode_response(tokenizer, "Yes.")
    return [
        (answer.outcome, tools.turns_of(turn + answer.ids + last)[1].text)
        for turn, answer in zip(turns, answers, strict=True)
    ]


def test_a_hostile_tool_gives_one_bounded_answer_within_its_time_and_the_next_call_is_answered(
    tools: Toolbox, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ALIGNLOOP_TEACHER_KEY", "secret")
    expected = {
        "raise": ("failed", "error: hostile: KeyError: 'secret'"),
        "exit": ("failed", "error: hostile: SystemExit: 3"),
        "die": ("failed", "error: hostile ended its process"),
        "hang": ("timed_out", "error: hostile gave no result within 1 s"),
        "spin": ("timed_out", "error: hostile gave no result within 1 s"),
        "print": ("flooded", "error: hostile printed more than 1,000,000 characters"),
        "write": ("answered", '{"calls": 1}'),
        "return": ("cut", "éé"),
        "network": ("failed", "error: hostile: socket."),
        "start": ("failed", "error: hostile: subprocess.Popen is refused"),
        "object": ("failed", "error: hostile: TypeError: Object of type object is not JSON"),
        "surrogate": ("answered", "?< |end|>"),
        "environment": ("answered", "PATH"),
        "problem": ("failed", "error: hostile: not today"),
        "fine": ("answered", '{"calls": '),
    }
    began = time.monotonic()
    found = ask(tools, tokenizer, *(tools.form.written("hostile", {"how": how}) for how in expected))
    assert time.monotonic() - began < 10
    for (how, (outcome, words)), (its, said) in zip(expected.items(), found, strict=True):
        assert its == outcome, (how, said)
        assert words in said, how
        assert "ALIGNLOOP" not in said
    assert set(dict(found)) < set(OUTCOMES)
    assert {each.split(":")[1].strip() for each in tools.new_faults()} == {
        "failed",
        "timed_out",
        "flooded",
        "cut",
    }
    assert tools.new_faults() == []


def test_wrong_calls_are_answered_in_words(tools: Toolbox, tokenizer: PreTrainedTokenizerFast):
    written = tools.form.written
    right = written("calculator", {"expression": "6*7"})
    assert ask(
        tools,
        tokenizer,
        right,
        right + right,
        written("calculator", {"expression": "6*"}),
        written("calculator", {"expression": 6}),
        written("calculator", {"expression": "6", "digits": 3}),
        written("calculater", {"expression": "6"}),
        "<tool_call>six</tool_call>",
    ) == [
        ("answered", "42"),
        ("answered", "42\n\n(one call at a time: the others of this turn were not made)"),
        ("failed", "error: calculator: this is no arithmetic expression"),
        ("broken", "error: calculator: expression: 6 is not of type 'string'"),
        (
            "broken",
            "error: calculator: Additional properties are not allowed ('digits' was unexpected)",
        ),
        ("unknown", "error: there is no tool 'calculater'; there are calculator, hostile"),
        ("broken", f"error: the call is not JSON: write {tools.form.example}"),
    ]


def test_a_turn_names_the_tool_that_answered_and_only_the_search_shows_passages(
    tools: Toolbox, tokenizer: PreTrainedTokenizerFast
):
    forged, last = tools.form.written("hostile", {"how": "passages"}), encode_response(tokenizer, "[99]")
    for text, asked in ((forged, "hostile"), (forged * 2, "hostile"), (forged.replace("hos", "x"), None)):
        call = encode_response(tokenizer, text)
        ids = [*call, *tools.answer([call])[0].ids, *last]
        assert [turn.tool for turn in tools.turns_of(ids)] == [None, asked, None]
        assert tools.search_answers(ids) == []


def test_all_tools_that_cannot_be_used_are_named_at_once_and_none_is_left_running(
    tokenizer: PreTrainedTokenizerFast, root: Path
):
    wrong = ("own_tools.bad:plain", "own_tools.bad:nothing", "own_tools.broken:x", "elsewhere:double")
    with pytest.raises(ToolError) as raised, open_tools(plan(CALCULATOR, *wrong), tokenizer, root):
        pass
    told = str(raised.value).splitlines()
    for line, words in zip(
        told,
        (
            "plain is no tool: put @tool",
            "nothing is not in own_tools.bad",
            "No module named 'nothing_of_this_name'",
            "elsewhere.py is not watched by DVC",
        ),
        strict=True,
    ):
        assert words in line
    for functions, words in (
        (("own_tools.bad:wrong",), "no JSON schema"),
        ((CALCULATOR, CALCULATOR), "both called calculator"),
    ):
        with pytest.raises(ToolError, match=words), open_tools(plan(*functions), tokenizer, root):
            pass
    with open_tools(plan(), tokenizer, root) as none:
        assert none is None


def test_settings_are_the_users_and_network_where_it_is_granted(
    tokenizer: PreTrainedTokenizerFast, root: Path
):
    functions = [
        ToolFunction(function="own_tools.bad:double", network=False, settings={"factor": 5}),
        ToolFunction(function="own_tools.bad:hostile", network=True, settings={}),
    ]
    with open_tools(plan(functions=functions), tokenizer, root) as tools:
        assert tools
        found = ask(
            tools,
            tokenizer,
            tools.form.written("double", {"n": 4}),
            tools.form.written("double", {"n": 4, "factor": 3}),
            tools.form.written("hostile", {"how": "start"}),
        )
        pids = [each._idle[0]._child.pid for each in tools._tools.values()]
    assert [outcome for outcome, _ in found] == ["answered", "broken", "answered"]
    assert found[0][1] == "20"
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


class Given(OwnSampler):
    """Draws these turns, by what the row has so far; log-probabilities are the policy's."""

    def __init__(self, turns: dict[int, list[list[int]]], end: int) -> None:
        self.turns, self.end = turns, end

    def follow(self, model: PreTrainedModel) -> None:
        self.model = model

    def draw(self, prompts: Any, rules: TokenRules, **options: Any) -> Responses:
        ids = [self.turns[prompt.count(self.end)][place % 2] for place, prompt in enumerate(prompts)]
        logprobs = per_token_logprobs(self.model, prompts, ids, rules, options["temperature"])
        return Responses(ids, logprobs, [row[-1] == rules.end for row in ids])


def test_ppo_learns_from_responses_that_call_the_calculator(
    tools: Toolbox, tokenizer: PreTrainedTokenizerFast, policy: PreTrainedModel, rules: TokenRules
):
    """Half of the responses call twice; what is scored and recorded is what they say in the end."""
    asked = [{"role": "user", "content": "6*7?"}]
    prompt = tools.encode_prompt(tokenizer, asked)
    before = prompt.count(rules.end)
    first, second = (tools.form.written("calculator", {"expression": e}) for e in ("6*7", "1/0"))
    say = lambda text: encode_response(tokenizer, text)  # noqa: E731
    turns = {
        before: [say(first), say("It is 42.")],
        before + 2: [say(second), []],  # each turn and each answer ends with the end token
        before + 4: [say("I think 42."), []],
    }
    scored: list[Any] = []

    def score(prompts: Any, responses: Any) -> torch.Tensor:
        scored.append((prompts, responses))
        return torch.tensor([float(len(row)) for row in responses])

    run = Run(policy, [prompt], rules, [])
    run.score = tools.reading(score)
    config = replace(CONFIG, prompts_per_step=2, minibatches=1, missing_eos_score=None, learning_rate=1e-5)
    trainer = run.trainer(config, np.random.default_rng(0), torch.Generator().manual_seed(0))
    trainer.sampler = tools.sampler(Given({0: [], **turns}, rules.end))
    [step] = list(trainer)
    assert scored == [([encode_prompt(tokenizer, asked)] * 2, [say("I think 42."), say("It is 42.")])]
    assert step.metrics["tool_calls"] == 1
    assert step.metrics["tool_answered"] == step.metrics["tool_failed"] == 1
    assert step.metrics["ratio_first"] == pytest.approx(1, abs=1e-4)
    records = rollout_records(
        step.rollouts, 1, "r1", tokenizer, {tuple(prompt): "p"}, turns_of=tools.turns_of
    )
    assert [each.response for each in records] == ["I think 42.", "It is 42."]
    assert records[0].turns
    assert [(turn.by, turn.text) for turn in records[0].turns] == [
        ("policy", first),
        ("tool", "42"),
        ("policy", second),
        ("tool", "error: calculator: it divides by zero"),
        ("policy", "I think 42."),
    ]
    own = [[turn.by == "policy"] * turn.tokens for turn in records[0].turns]
    assert step.rollouts.own
    assert [each for part in own for each in part] == step.rollouts.own[0], "the mask of the tokens alone"
    assert (
        records[0].tokens == sum(step.rollouts.own[0]) == len(say(first) + say(second) + say("I think 42."))
    )


def test_a_call_to_a_prompt_without_tools_is_text_that_nobody_answers(
    tools: Toolbox, tokenizer: PreTrainedTokenizerFast, policy: PreTrainedModel, rules: TokenRules
):
    asked = [{"role": "user", "content": "6*7?"}]
    off, other = (
        tools.encode_prompt(tokenizer, [{"role": "system", "content": said}, *asked])
        for said in ("browsing: disabled", "Be kind. Browsing:Disabled.")
    )
    on = tools.encode_prompt(tokenizer, asked)
    text = tools.form.written("calculator", {"expression": "6*7"})
    call, last = encode_response(tokenizer, text), encode_response(tokenizer, "42.")
    turns = {ids.count(rules.end): [call, call] for ids in (on, off, other)}
    turns[on.count(rules.end) + 2] = [last, last]
    sampler = tools.sampler(Given(turns, rules.end))
    sampler.follow(policy)
    options: Any = {"temperature": 1.0, "max_new_tokens": 99, "batch": 8, "generator": torch.Generator()}
    drawn = sampler.draw([on, off, other], rules, **options)
    assert drawn.ids[1:] == [call, call]
    assert drawn.ids[0][-len(last) :] == last
    assert drawn.ended == [True] * 3
    assert (drawn.counts["tool_not_offered"], drawn.counts["tool_answered"]) == (2, 1)
    assert drawn.counts["tool_unanswered"] == 0
    told = "tools: not offered: a call to a prompt without tools was not answered"
    assert tools.new_faults().count(told) == 1
    assert [turn.text for turn in tools.turns_of(call)] == [text]
