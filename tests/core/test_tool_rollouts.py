"""Responses that call tools: exact tokens, an exact mask, and PPO that learns from its own tokens alone."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.experience import Experience, Rollouts, compute_experience, rollout_metrics
from alignloop.core.generate import Responses
from alignloop.core.logprobs import per_token_logprobs, response_positions
from alignloop.core.metrics import distinct
from alignloop.core.ppo import Step, Trainer
from alignloop.core.ppo_update import update
from alignloop.core.sampler import OwnSampler
from alignloop.core.tokens import TokenRules
from alignloop.core.tool_rollouts import Answer, ToolSampler
from tests.core.bandit import CONFIG, Run

END, OPENING = 1, 4
OPTIONS: dict[str, Any] = {"temperature": 1.0, "max_new_tokens": 4, "batch": 64}


class Letters:
    """A turn that begins with one of these letters is a call; its length is in the answer."""

    outcomes = ("answered", "broken")

    def __init__(self, *letters: int) -> None:
        self.letters, self.asked = letters, list[list[int]]()

    def is_call(self, turn: Sequence[int]) -> bool:
        return turn[0] in self.letters

    def offered(self, prompt: Sequence[int]) -> bool:
        return True

    def not_offered(self) -> None:
        raise AssertionError

    def answer(self, turns: Sequence[Sequence[int]], prompts: Sequence[Sequence[int]]) -> list[Answer]:
        self.asked += [list(turn) for turn in turns]
        return [Answer([50 + len(turn), 60, OPENING], "answered") for turn in turns]


class Scripted(OwnSampler):
    """Gives these turns in their order; each token's log-probability is minus its place in the row."""

    def __init__(self, turns: Sequence[Sequence[list[int]]]) -> None:
        self.turns: Iterator[Sequence[list[int]]] = iter(turns)
        self.prompts, self.seeds = list[list[list[int]]](), list[Any]()

    def draw(self, prompts: Sequence[list[int]], rules: TokenRules, **options: Any) -> Responses:
        self.prompts.append(list(prompts))
        self.seeds.append(options["seeds"])
        ids = next(self.turns)
        logprobs = [
            -torch.arange(len(prompt), len(prompt) + len(row)).float()
            for prompt, row in zip(prompts, ids, strict=True)
        ]
        return Responses(list(ids), logprobs, [row[-1] == END for row in ids])


def draw(sampler: ToolSampler, prompts: Sequence[list[int]], rules: TokenRules, seed: int = 0) -> Responses:
    return sampler.draw(prompts, rules, generator=torch.Generator().manual_seed(seed), **OPTIONS)


def test_the_mask_of_a_response_with_two_calls_is_exact(rules: TokenRules):
    scripted = Scripted([[[7, END], [9, 9, END]], [[7, 8, END]], [[9, END]]])
    tools = Letters(7)
    drawn = draw(ToolSampler(scripted, tools, max_calls=2), [[3, 20, 4], [3, 4]], rules)
    assert drawn.ids == [[7, END, 52, 60, 4, 7, 8, END, 53, 60, 4, 9, END], [9, 9, END]]
    assert drawn.own == [
        [True] * 2 + [False] * 3 + [True] * 3 + [False] * 3 + [True] * 2,
        [True] * 3,
    ]
    assert [part.tolist() for part in drawn.logprobs] == [
        [-3, -4, -8, -9, -10, -14, -15],
        [-2, -3, -4],
    ], "each turn is drawn after all tokens before it"
    assert scripted.prompts[2] == [[3, 20, 4, 7, END, 52, 60, 4, 7, 8, END, 53, 60, 4]]
    assert tools.asked == [[7, END], [7, 8, END]]
    assert drawn.ended == [True, True]
    assert drawn.counts == {
        "tool_calls": 1.0,
        "tool_unanswered": 0.0,
        "tool_not_offered": 0.0,
        "tool_answered": 2.0,
        "tool_broken": 0.0,
    }
    assert scripted.seeds[0] is None
    assert len({scripted.seeds[1][0], scripted.seeds[2][0]}) == 2, "a turn has a seed of its own"


def test_a_call_beyond_the_limit_is_answered_by_nobody_and_does_not_end_a_response(rules: TokenRules):
    scripted = Scripted([[[7, END], [7, END]], [[7, END], [9, END]]])
    drawn = draw(ToolSampler(scripted, Letters(7), max_calls=1), [[4], [5, 4]], rules)
    assert drawn.ids[0] == [7, END, 52, 60, 4, 7, END]
    assert drawn.ended == [False, True]
    assert drawn.counts["tool_unanswered"] == 0.5


def test_a_turn_without_an_end_is_no_call(rules: TokenRules):
    drawn = draw(ToolSampler(Scripted([[[7, 7, 7, 7]]]), Letters(7), max_calls=1), [[4]], rules)
    assert drawn.ids == [[7, 7, 7, 7]]
    assert drawn.ended == [False]
    assert drawn.counts["tool_unanswered"] == 0


def test_drawn_log_probabilities_are_those_of_the_whole_row_at_its_own_tokens(
    policy: PreTrainedModel, prompts: list[list[int]], few_rules: TokenRules, letters: list[int]
):
    sampler = ToolSampler(OwnSampler(), Letters(*letters[1:]), max_calls=2)
    sampler.follow(policy)
    drawn = draw(sampler, prompts * 4, few_rules)
    assert drawn.own
    assert drawn.counts["tool_answered"] > 4
    whole = per_token_logprobs(policy, prompts * 4, drawn.ids, few_rules, 1.0)
    for mine, row, own in zip(drawn.logprobs, whole, drawn.own, strict=True):
        torch.testing.assert_close(mine, row[torch.tensor(own)], atol=1e-4, rtol=0)


def test_a_row_draws_the_same_whatever_its_neighbours_call(
    policy: PreTrainedModel, prompts: list[list[int]], few_rules: TokenRules, letters: list[int]
):
    sampler = ToolSampler(OwnSampler(), Letters(*letters[1:]), max_calls=2)
    sampler.follow(policy)
    drawn = [draw(sampler, [prompts[0], prompts[n]] * 12, few_rules, seed=3) for n in (1, 5)]
    assert drawn[0].ids[::2] == drawn[1].ids[::2]
    assert drawn[0].ids[1::2] != drawn[1].ids[1::2]
    assert any(len(set(own)) == 2 for own in (drawn[0].own or ())[::2])


def test_positions_leave_out_tokens_that_the_policy_did_not_draw():
    ids, _, positions, targets = response_positions(
        [[3, 9, 7, 1, 50, 4, 8, 1], [3, 8]], [2, 1], 0, [[True, True, False, False, True, True], [True]]
    )
    assert positions.nonzero().tolist() == [[0, 1], [0, 2], [0, 5], [0, 6], [1, 0]]
    assert targets.tolist() == [7, 1, 8, 1, 8]
    assert ids.shape == (2, 8)


ROW = [20, END, 50, OPENING, 30, END]  # a call of two tokens, an answer of two, a last turn of two
OWN = [True, True, False, False, True, True]


def experienced(run: Run, **changes: Any) -> tuple[Rollouts, Experience]:
    responses = Responses([ROW], [torch.full((4,), -1.0)], [True], own=[OWN])
    config = replace(CONFIG, gamma=1.0, lam=0.5, missing_eos_score=None, **changes)
    return compute_experience(
        run.reference,
        run.value,
        lambda prompts, ids: torch.ones(len(ids)),
        [[3, 9, OPENING]],
        responses,
        kl_coef=0.0,
        rules=run.rules,
        config=config,
    )


def test_advantages_and_returns_by_hand_go_from_own_token_to_own_token(
    run: Run, rules: TokenRules, monkeypatch: pytest.MonkeyPatch
):
    """The value at a token is a tenth of its id. The state before the last turn ends with the answer."""
    run.rules = rules
    monkeypatch.setattr(run.value, "per_token", lambda ids, real: ids.float() / 10)
    rollouts, learned = experienced(run)
    assert learned.mask.tolist() == [[True] * 4]
    torch.testing.assert_close(learned.values, torch.tensor([[0.4, 2.0, 0.4, 3.0]]))
    # 1 − 3 = −2;  3 − 0.4 − 2/2 = 1.6;  0.4 − 2 + 1.6/2 = −0.8;  2 − 0.4 − 0.8/2 = 1.2: plus the values
    torch.testing.assert_close(learned.returns, torch.tensor([[1.6, 1.2, 2.0, 1.0]]))
    raw = torch.tensor([1.2, -0.8, 1.6, -2.0])
    expected = (raw - raw.mean()) / raw.var(correction=0).sqrt()
    torch.testing.assert_close(learned.advantages[0], expected, atol=1e-5, rtol=0)
    reference = per_token_logprobs(
        run.policy, [[3, 9, OPENING]], [ROW], rules, 1.0
    )  # the policy is its own reference here
    own = reference[0][torch.tensor(OWN)]
    assert float(rollouts.kl[0]) == pytest.approx(float((-1 - own).sum()), abs=1e-3)
    numbers = rollout_metrics(rollouts, learned, 0.0)
    assert numbers["length"] == 4
    assert numbers["entropy"] == 1
    assert numbers["distinct_2"] == distinct([[20, END, 30, END]], 2)


def test_no_gradient_flows_through_a_tools_tokens_by_hand(
    run: Run, rules: TokenRules, monkeypatch: pytest.MonkeyPatch
):
    """All states are zero, so that each of the five allowed tokens has probability 1/5, and the output
    weights of token 10 + i are the i-th unit vector. With an advantage A at N = 4 tokens, the gradient at
    the state before a token is A/N · (1/5 − 1) at its own place and A/N · 1/5 at the others.
    """
    allowed = torch.zeros_like(rules.allowed)
    allowed[10:15] = True
    run.rules = TokenRules(allowed, END, rules.pad)
    with torch.no_grad():
        run.policy.base_model.norm.weight.zero_()  # type: ignore[union-attr, operator]
        weight = run.policy.get_output_embeddings().weight  # type: ignore[union-attr]
        assert isinstance(weight, Tensor)
        weight[10:15] = torch.eye(5, weight.shape[1])
    seen: list[Tensor] = []

    def note(module: object, args: object, output: Any) -> None:
        output.last_hidden_state.retain_grad()
        seen.append(output.last_hidden_state)

    handle = run.policy.base_model.register_forward_hook(note)
    log_of_a_fifth = torch.full((1, 4), float(np.log(0.2)))
    learned = Experience(
        [[3, 9, OPENING, 10, 11, 50, OPENING, 12, 13]],
        [3],
        torch.ones(1, 4).bool(),
        log_of_a_fifth,
        values=torch.zeros(1, 4),
        advantages=torch.tensor([[2.0, -1.0, 4.0, 0.0]]),
        returns=torch.zeros(1, 4),
        own=[OWN],
    )
    update(
        run.policy,
        None,
        learned,
        optimisers={"policy": torch.optim.SGD(run.policy.parameters(), lr=0.0)},
        ptx=(),
        rules=run.rules,
        config=replace(CONFIG, minibatches=1, advantages="rloo", responses_per_prompt=2),
        random=np.random.default_rng(0),
        warming=False,
    )
    handle.remove()
    [states] = seen
    assert states.grad is not None
    expected = torch.zeros_like(states)
    expected[0, 2, :5] = torch.tensor([-0.4, 0.1, 0.1, 0.1, 0.1])  # before token 10, advantage 2
    expected[0, 3, :5] = torch.tensor([-0.05, 0.2, -0.05, -0.05, -0.05])  # before token 11, advantage −1
    expected[0, 6, :5] = torch.tensor([0.2, 0.2, -0.8, 0.2, 0.2])  # before token 12, advantage 4
    torch.testing.assert_close(states.grad[..., :5], expected[..., :5], atol=1e-6, rtol=0)
    answered = [0, 1, 4, 5]  # the prompt, and what predicts the answer's tokens 50 and 4
    assert not states.grad[0, answered].any()


def trainer(run: Run, tools: Letters | None, **changes: Any) -> Trainer:
    config = replace(CONFIG, learning_rate=1e-2, prompts_per_step=16, **changes)
    made = run.trainer(config, np.random.default_rng(0), torch.Generator().manual_seed(0))
    if tools:
        made.sampler = ToolSampler(made.sampler, tools, max_calls=2)
    return made


def test_a_policy_that_calls_nothing_learns_the_same_bits_as_without_tools(run: Run, other: Run):
    [plain], [able] = list(trainer(run, None)), list(trainer(other, Letters()))
    assert torch.equal(run.weights(), other.weights())
    assert able.rollouts.responses == plain.rollouts.responses
    counts = {name: value for name, value in able.metrics.items() if name.startswith("tool_")}
    assert set(counts.values()) == {0.0}
    assert {name: able.metrics[name] for name in plain.metrics} == plain.metrics


def test_a_training_with_tools_resumes_to_the_same_bits(run: Run, other: Run, letters: list[int]):
    whole = list(trainer(run, Letters(*letters[1:]), steps=3))
    assert min(step.metrics["tool_answered"] for step in whole) > 0
    assert all(step.metrics["ratio_first"] == pytest.approx(1, abs=1e-4) for step in whole)
    left = trainer(other, Letters(*letters[1:]), steps=3)
    steps: list[Step] = [next(iter(left))]
    again = trainer(other, Letters(*letters[1:]), steps=3)
    again.restore(left.state())
    steps += list(again)
    assert [step.rollouts.responses for step in steps] == [step.rollouts.responses for step in whole]
    assert torch.equal(run.weights(), other.weights())
