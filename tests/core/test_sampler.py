"""A sampler apart from the policy: its gap, the truncated importance weights, and PPO that learns by them."""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core.generate import Responses
from alignloop.core.logprobs import per_token_logprobs
from alignloop.core.ppo import Step
from alignloop.core.ppo_losses import policy_loss
from alignloop.core.sampler import OwnSampler, Sampler, importance_weights, sampler_gap
from alignloop.core.tokens import TokenRules
from tests.core.bandit import CONFIG, Run

PLAN: dict[str, Any] = {"steps": 3, "epochs": 2, "learning_rate": 1e-2, "max_new_tokens": 3}
METRICS = {"sampler_gap", "sampler_truncated_share"}


class Apart:
    """Draws from a copy of the policy whose embeddings are `scale` times as large."""

    def __init__(self, scale: float) -> None:
        self.scale, self.own, self.drawn = scale, OwnSampler(), list[Responses]()

    def follow(self, model: PreTrainedModel) -> None:
        self.model, changed = model, copy.deepcopy(model)
        with torch.no_grad():
            next(changed.parameters()).mul_(self.scale)
        self.own.follow(changed)

    def draw(self, prompts: Sequence[list[int]], rules: TokenRules, **options: Any) -> Responses:
        drawn = self.own.draw(prompts, rules, **options)
        policys = per_token_logprobs(self.model, prompts, drawn.ids, rules, options["temperature"])
        self.drawn.append(Responses(drawn.ids, policys, drawn.ended, drawn.logprobs))
        return self.drawn[-1]


class Agreeing(OwnSampler):
    """Draws as the policy does, and reports exactly the policy's log-probabilities as its own."""

    def draw(self, prompts: Sequence[list[int]], rules: TokenRules, **options: Any) -> Responses:
        drawn = super().draw(prompts, rules, **options)
        return replace(drawn, sampler_logprobs=[part.clone() for part in drawn.logprobs])


def steps(run: Run, sampler: Sampler | None, **changes: Any) -> list[Step]:
    random, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    trainer = run.trainer(replace(CONFIG, **PLAN, **changes), random, generator)
    if sampler:
        trainer.sampler = sampler
    return list(trainer)


def close(values: Tensor, expected: list[float]) -> None:
    assert values.tolist() == pytest.approx(expected, rel=1e-6)


def test_weights_and_gap_by_hand():
    policy, sampler = torch.tensor([-1.0, -1.0, -2.0, -4.0]), torch.tensor([-1.0, -1.5, -1.0, -9.0])
    close(importance_weights(policy, sampler, 2.0), [1.0, math.exp(0.5), math.exp(-1), 2.0])
    close(importance_weights(policy, sampler, 1.0), [1.0, 1.0, math.exp(-1), 1.0])
    expected = (1 + math.exp(0.5) + math.e + math.exp(5)) / 4
    assert sampler_gap(policy, sampler) == pytest.approx(expected, rel=1e-6)
    assert sampler_gap(policy, policy) == 1


def test_a_weight_is_a_factor_of_its_tokens_loss_by_hand():
    logprobs, old = torch.tensor([-1.0, -1.0]), torch.tensor([-1.0, -1.0 - math.log(2)])
    advantages, weights = torch.tensor([3.0, 3.0]), torch.tensor([0.5, 2.0])
    loss, clipped = policy_loss(logprobs, old, advantages, 0.2, weights)
    assert float(loss) == pytest.approx(-3 * 0.5 - 3 * 1.2 * 2.0)  # the second ratio, 2, is clipped at 1.2
    assert clipped.tolist() == [False, True]


def test_a_weight_of_exactly_1_changes_no_bit_of_the_loss():
    torch.manual_seed(0)
    logprobs, old, advantages = torch.randn(3, 1000)
    plain, _ = policy_loss(logprobs, old, advantages, 0.2)
    assert torch.equal(importance_weights(old, old, 2.0), torch.ones(1000))
    assert torch.equal(
        policy_loss(logprobs, old, advantages, 0.2, importance_weights(old, old, 2.0))[0], plain
    )


@pytest.mark.parametrize("advantages", ["gae", "grpo"])
def test_a_sampler_that_agrees_leaves_every_bit_of_ppo_as_it_was(run: Run, other: Run, advantages: str):
    groups = {"advantages": advantages, "responses_per_prompt": 1 if advantages == "gae" else 4}
    plain, apart = steps(run, None, **groups), steps(other, Agreeing(), **groups)
    assert torch.equal(other.weights(), run.weights())
    for mine, theirs in zip(apart, plain, strict=True):
        assert {name: mine.metrics[name] for name in METRICS} == {
            "sampler_gap": 1.0,
            "sampler_truncated_share": 0.0,
        }
        assert {name: value for name, value in mine.metrics.items() if name not in METRICS} == theirs.metrics
        assert mine.rollouts.responses == theirs.rollouts.responses


def test_ppo_learns_from_the_policys_log_probabilities_of_what_another_drew(run: Run, other: Run):
    sampler = Apart(1.3)
    told = steps(run, sampler, sampler_truncate=1.2)
    for step, drawn in zip(told, sampler.drawn, strict=True):
        assert drawn.sampler_logprobs
        policys, its = torch.cat(drawn.logprobs), torch.cat(drawn.sampler_logprobs)
        assert step.metrics["sampler_gap"] == sampler_gap(policys, its) > 1.01
        share = float(((policys - its).exp() > 1.2).float().mean())
        assert step.metrics["sampler_truncated_share"] == pytest.approx(share)
        assert step.metrics["ratio_first"] == pytest.approx(1, abs=1e-5)
        assert step.metrics["entropy"] == pytest.approx(-float(policys.mean()), abs=1e-5)
    assert max(step.metrics["sampler_truncated_share"] for step in told) > 0
    steps(other, Apart(1.3), sampler_truncate=1e9)
    assert not torch.equal(other.weights(), run.weights()), "where weights are truncated, PPO learns less"


def test_own_decoding_knows_no_gap(run: Run):
    assert not METRICS & steps(run, None)[0].metrics.keys()


def test_the_weights_undo_the_difference_of_the_sampler(policy: PreTrainedModel, few_rules: TokenRules):
    """The mean weight of a token that another distribution drew is 1: importance sampling is unbiased."""
    sampler = Apart(1.2)
    sampler.follow(policy)
    options: dict[str, Any] = {"temperature": 1.0, "max_new_tokens": 1, "batch": 500}
    drawn = sampler.draw(
        [[3, 20, 4]] * 4000, few_rules, generator=torch.Generator().manual_seed(0), **options
    )
    assert drawn.sampler_logprobs
    policys, its = torch.cat(drawn.logprobs), torch.cat(drawn.sampler_logprobs)
    weights = importance_weights(policys, its, 1e9)
    assert float(weights.std()) > 0.05
    assert float(weights.mean()) == pytest.approx(1, abs=4 * float(weights.std()) / math.sqrt(4000))
