"""PPO through the stub: the same training as with own decoding but for the draws, and resumed to the bit."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.generate import Responses
from alignloop.core.logprobs import per_token_logprobs
from alignloop.core.ppo import Step, Trainer
from alignloop.core.sampler import SEEDS, OwnSampler, Sampler
from alignloop.core.tokens import TokenRules
from alignloop.inference.http_client import SamplerError
from tests.core.bandit import CONFIG, Run
from tests.inference.conftest import MakeSampler, MakeStub

SIZES: dict[str, Any] = {
    "steps": 4,
    "prompts_per_step": 12,
    "max_new_tokens": 6,
    "epochs": 2,
    "learning_rate": 5e-3,
    "missing_eos_score": None,
    "temperature": 0.8,
}
GROUPS: dict[str, dict[str, Any]] = {
    "gae": {},
    "rloo": {"advantages": "rloo", "responses_per_prompt": 3, "prompts_per_step": 4},
    "grpo": {"advantages": "grpo", "responses_per_prompt": 3, "prompts_per_step": 4},
}


class Given(OwnSampler):
    """Own decoding that is given responses, and takes as many random numbers as a sampler apart."""

    def __init__(self, drawn: list[list[list[int]]]) -> None:
        self.drawn = iter(drawn)

    def follow(self, model: PreTrainedModel) -> None:
        self.model = model

    def draw(self, prompts: Any, rules: TokenRules, **options: Any) -> Responses:
        ids = next(self.drawn)
        torch.randint(SEEDS, (len(prompts),), generator=options["generator"])
        logprobs = per_token_logprobs(self.model, prompts, ids, rules, options["temperature"])
        return Responses(ids, logprobs, [row[-1] == rules.end for row in ids])


@pytest.fixture
def run(policy: PreTrainedModel, prompts: list[list[int]], rules: TokenRules) -> Run:
    return Run(policy, prompts, rules, letters=[])


def even_ids(prompts: Any, responses: Any) -> Tensor:
    """A score that a few steps can raise: the share of even token ids."""
    return torch.tensor([sum(token % 2 == 0 for token in row) / len(row) for row in responses])


def trainer_of(run: Run, sampler: Sampler, seed: int = 0, **changes: Any) -> Trainer:
    run = copy.copy(run)
    run.policy, run.value = copy.deepcopy(run.policy), copy.deepcopy(run.value)
    run.score = even_ids
    random, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    trainer = run.trainer(replace(CONFIG, **{**SIZES, **changes}), random, generator)
    trainer.sampler = sampler
    return trainer


def weights(trainer: Trainer) -> bytes:
    return b"".join(weight.detach().numpy().tobytes() for weight in trainer.policy.parameters())


def summary(steps: list[Step]) -> list[Any]:
    return [(step.number, step.metrics, step.rollouts.responses) for step in steps]


@pytest.mark.parametrize("advantages", GROUPS)
def test_a_training_through_a_server_differs_by_its_draws_alone(
    run: Run, serve: MakeStub, sampler: MakeSampler, advantages: str
):
    """Own decoding that is given the server's responses ends at the same policy, but for rounding."""
    through = trainer_of(run, sampler(serve()), **GROUPS[advantages])
    told = list(through)
    assert len(told) == 4
    for step in told:
        assert 1 <= step.metrics["sampler_gap"] < 1 + 1e-5
        assert step.metrics["sampler_truncated_share"] == 0
        assert step.metrics["ratio_first"] == pytest.approx(1, abs=1e-5)
    same = trainer_of(run, Given([step.rollouts.responses for step in told]), **GROUPS[advantages])
    for mine, theirs in zip(list(same), told, strict=True):
        for name, value in mine.metrics.items():
            assert theirs.metrics[name] == pytest.approx(value, abs=2e-4), name
    for mine, theirs, start in zip(
        same.policy.parameters(), through.policy.parameters(), run.policy.parameters(), strict=True
    ):
        assert (mine - theirs).detach().norm() < 1e-2 * (theirs - start).detach().norm()
    own = trainer_of(run, OwnSampler(), **GROUPS[advantages])
    assert [step.rollouts.responses for step in own] != [step.rollouts.responses for step in told]


@pytest.mark.parametrize("left_after", [1, 3])
def test_a_training_left_after_a_step_is_continued_with_the_same_responses_to_the_bit(
    run: Run, serve: MakeStub, sampler: MakeSampler, left_after: int
):
    """By another server and another sampler: the process was killed, and its server with it."""
    states, whole = [], trainer_of(run, sampler(serve()))
    steps = []
    for step in whole:
        steps.append(step)
        states.append(copy.deepcopy(whole.state()))
    continued = trainer_of(run, sampler(serve()), seed=99)
    continued.restore(states[left_after - 1])
    assert summary(list(continued)) == summary(steps[left_after:])
    assert weights(continued) == weights(whole)


def test_a_server_that_goes_in_mid_step_costs_that_step_alone(
    run: Run, serve: MakeStub, sampler: MakeSampler
):
    whole = trainer_of(run, sampler(serve()))
    expected = list(whole)
    stub = serve()
    broken = trainer_of(run, sampler(stub))
    first = next(iter(broken))
    state = copy.deepcopy(broken.state())
    stub.faults.gone_after = stub.drawn + 3
    steps = iter(broken)
    with pytest.raises(SamplerError, match="the connection failed"):
        next(steps)
    continued = trainer_of(run, sampler(serve()))
    continued.restore(state)
    assert summary([first, *continued]) == summary(expected)
    assert weights(continued) == weights(whole)


def test_a_head_that_is_never_taken_over_ends_the_second_step_before_it_learns(
    run: Run, serve: MakeStub, sampler: MakeSampler
):
    trainer = trainer_of(run, sampler(serve(keeps="lm_head")))
    steps = iter(trainer)
    next(steps)
    before = weights(trainer)
    with pytest.raises(SamplerError, match="weights 2: it did not take over the new weights"):
        next(steps)
    assert weights(trainer) == before


def test_a_server_that_is_a_little_off_is_corrected_and_reported(
    run: Run, serve: MakeStub, sampler: MakeSampler
):
    """As one of another precision is."""
    exact = trainer_of(run, sampler(serve()), sampler_truncate=1.01)
    off = trainer_of(run, sampler(serve(head_scale=1.02)), sampler_truncate=1.01)
    for plain, step in zip(exact, off, strict=True):
        assert 1.002 < step.metrics["sampler_gap"] < 1.05
        assert 0 < step.metrics["sampler_truncated_share"] < 1
        assert plain.metrics["sampler_gap"] < 1 + 1e-5
        assert plain.metrics["sampler_truncated_share"] == 0
    assert weights(off) != weights(exact)
