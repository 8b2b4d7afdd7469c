"""PPO raises the score, stays near its reference, is reproducible to the byte, and stops at errors."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, PreTrainedModel

from alignloop.core import ppo_update
from alignloop.core.kl_controller import FixedKl
from alignloop.core.numeric_checks import NonFiniteLoss
from alignloop.core.ppo_update import RatioError
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import Encoded
from tests.core.bandit import Run


def test_scored_responses_become_likelier_and_the_kl_penalty_limits_that(run: Run, other: Run):
    plan: dict[str, Any] = {
        "steps": 8,
        "epochs": 2,
        "learning_rate": 3e-3,
        "missing_eos_score": None,
        "max_new_tokens": 3,
    }
    free = run.steps(**plan)
    assert np.mean([step.metrics["score"] for step in free[:2]]) < 0.3
    assert np.mean([step.metrics["score"] for step in free[-2:]]) > 0.9
    other.controller = FixedKl(3.0)
    held = other.steps(**plan)
    assert held[-1].metrics["kl"] < 0.3 * free[-1].metrics["kl"]
    assert np.mean([step.metrics["score"] for step in held[-2:]]) < 0.3


def test_ratios_are_one_before_the_first_update(run: Run):
    for temperature in (1.0, 0.7):
        [step] = run.steps(temperature=temperature, minibatches=1, learning_rate=1e-9)
        assert step.metrics["ratio_first"] == pytest.approx(1, abs=1e-6)
        assert step.metrics["ratio_distance"] < 1e-5
        assert step.metrics["approx_kl"] == pytest.approx(0, abs=1e-6)
        assert step.metrics["clip_fraction"] == 0


def test_a_distribution_that_differs_between_sampling_and_training_is_an_error(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    """Even where the mean ratio is near 1, which it is in expectation for any two distributions."""
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = Gemma2Config(
        vocab_size=320,
        num_key_value_heads=2,
        head_dim=16,
        pad_token_id=0,
        final_logit_softcapping=0.5,
        **sizes,
    )
    torch.manual_seed(0)
    run.policy = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        next(run.policy.parameters()).mul_(20)
    start = copy.deepcopy(run.policy)
    with pytest.raises(RatioError, match="sampling and training disagree"):
        run.steps(minibatches=1)
    monkeypatch.setitem(ppo_update.RATIO_TOLERANCE, "fp32", 1e9)
    [step] = run.steps(minibatches=1)
    assert abs(step.metrics["ratio_first"] - 1) < 0.1 < 1 < step.metrics["ratio_distance"]
    run.policy = start
    monkeypatch.setitem(ppo_update.RATIO_TOLERANCE, "fp32", 0.1)
    with pytest.raises(RatioError):
        run.steps(minibatches=1)


def test_two_runs_with_one_seed_are_equal_to_the_byte(run: Run, other: Run):
    plan: dict[str, Any] = {
        "steps": 2,
        "epochs": 2,
        "ptx_coef": 1.0,
        "ptx_documents_per_step": 8,
        "ema_decay": 0.9,
    }
    run.ptx = other.ptx = [Encoded([9, 30, 40, 1], [True] * 4), Encoded([9, 50, 1], [True] * 3)]
    one, two = run.steps(**plan), other.steps(**plan)
    assert [step.metrics for step in one] == [step.metrics for step in two]
    assert run.weights().numpy().tobytes() == other.weights().numpy().tobytes()
    for mine, theirs in zip(run.value.parameters(), other.value.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_every_prompt_is_drawn_before_any_repeats_and_rollouts_differ(run: Run):
    steps = run.steps(steps=4, prompts_per_step=4, max_new_tokens=12)
    drawn = [prompt for step in steps for prompt in step.rollouts.prompts]
    assert sorted(drawn[:8]) == sorted(drawn[8:]) == sorted(run.prompts)
    assert len({tuple(map(tuple, step.rollouts.responses)) for step in steps}) == 4


def test_two_steps_of_one_policy_draw_different_responses(run: Run):
    run.prompts = run.prompts[:1]
    first, second = run.steps(steps=2, prompts_per_step=8, learning_rate=1e-12, max_new_tokens=12)
    assert first.rollouts.responses != second.rollouts.responses
    assert len(set(map(tuple, first.rollouts.responses))) > 1, "responses are sampled, not the likeliest ones"


def test_the_value_model_learns_the_returns(run: Run):
    steps = run.steps(
        steps=8, epochs=4, learning_rate=1e-9, value_clip=10.0, max_new_tokens=3, missing_eos_score=None
    )
    assert steps[-1].metrics["value_loss"] < 0.4 * steps[0].metrics["value_loss"]
    assert steps[0].metrics["explained_variance"] < -1, "an untrained value model is worse than a constant"
    assert max(step.metrics["explained_variance"] for step in steps[4:]) > 0.1


def test_a_family_with_dropout_is_sampled_and_trained_without_it(run: Run, gpt2: PreTrainedModel):
    run.policy, run.reference = copy.deepcopy(gpt2).train(), copy.deepcopy(gpt2).train()
    run.value = RewardModel.from_policy(gpt2, 0).train()
    [step] = run.steps(minibatches=1)
    assert step.rollouts.kl.abs().max() < 1e-4
    assert step.metrics["ratio_distance"] < 1e-5


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_non_finite_score_names_its_response(run: Run, number: float):
    run.score = lambda prompts, responses: torch.tensor([0.0, 1.0, number] + [0.0] * 29)
    before = run.weights()
    with pytest.raises(NonFiniteLoss, match=r"scores of responses \[2\]"):
        run.steps(missing_eos_score=None)
    assert torch.equal(run.weights(), before)


def test_scores_may_come_in_any_precision(run: Run):
    run.score = lambda prompts, responses: torch.arange(len(prompts), dtype=torch.float64)
    assert run.steps(missing_eos_score=None)[0].metrics["score"] == 15.5
