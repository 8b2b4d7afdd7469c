"""The numbers of a PPO step: KL, rewards, gradients, weight averages and learning rates."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from alignloop.core import ppo_update
from alignloop.core.batches import by_length
from alignloop.core.kl_controller import AdaptiveKl, FixedKl
from alignloop.core.lm_training import accumulate_gradients
from alignloop.core.logprobs import response_logprobs
from alignloop.core.tokens import Encoded
from tests.core.bandit import CONFIG, Run


def test_the_score_of_a_response_without_an_end_is_replaced(run: Run, other: Run):
    [replaced], [original] = run.steps(missing_eos_score=-7.0), other.steps(missing_eos_score=None)
    assert replaced.rollouts.responses == original.rollouts.responses
    ended = torch.tensor(original.rollouts.ended)
    assert 0 < ended.sum() < 32
    assert (replaced.rollouts.scores[~ended] == -7).all()
    assert torch.equal(replaced.rollouts.scores[ended], original.rollouts.scores[ended])
    assert torch.equal(original.rollouts.scores, run.score([], original.rollouts.responses))


def test_kl_is_summed_over_a_response_and_subtracted_from_its_score(run: Run):
    with torch.no_grad():
        for weight in run.reference.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)))
    run.controller = FixedKl(0.25)
    policy, reference = copy.deepcopy(run.policy), cast(PreTrainedModel, run.reference)
    [step] = run.steps(prompts_per_step=256, temperature=0.8)
    drawn = step.rollouts
    ours, theirs = (
        response_logprobs(m, drawn.prompts, drawn.responses, run.rules, 0.8) for m in (policy, reference)
    )
    torch.testing.assert_close(drawn.kl, ours - theirs, atol=1e-4, rtol=0)
    torch.testing.assert_close(drawn.rewards, drawn.scores - 0.25 * drawn.kl, atol=1e-5, rtol=0)
    assert drawn.kl.min() < 0 < 0.01 < drawn.kl.mean(), (
        "single responses may be below zero, their mean may not"
    )
    assert step.metrics["kl"] == pytest.approx(float(drawn.kl.mean()))
    assert step.metrics["entropy"] == pytest.approx(
        -float(ours.sum()) / sum(map(len, drawn.responses)), abs=1e-5
    )


def test_a_policy_equal_to_its_reference_has_no_kl(run: Run):
    assert run.steps()[0].rollouts.kl.abs().max() < 1e-5


def test_the_controller_is_updated_after_the_step_with_the_steps_kl(run: Run):
    run.controller = AdaptiveKl(coef=0.1, target_kl_per_response_nats=6.0, horizon_responses=1000)
    first, second = run.steps(steps=2)
    assert first.metrics["kl_coef"] == 0.1
    assert second.metrics["kl_coef"] == pytest.approx(0.1 * (1 - 0.2 * 32 / 1000)), (
        "far below target: an error of −0.2 for 32 responses"
    )


def test_the_weight_average_decays_as_configured(run: Run):
    """With a decay of ½ the start counts a quarter after two steps, in tied weights as in all others."""
    start = run.weights()
    config = replace(CONFIG, steps=2, ema_decay=0.5, learning_rate=1e-2)
    steps = run.trainer(config, np.random.default_rng(0), torch.Generator().manual_seed(0))
    one, two = [run.weights() for _ in steps]
    assert (one - start).abs().max() > 1e-3
    torch.testing.assert_close(run.weights(), start / 4 + one / 4 + two / 2, atol=1e-6, rtol=0)


def test_ptx_adds_the_gradient_of_the_language_model(run: Run, other: Run):
    document = Encoded([9, 30, 40, 50, 60, 1], [True] * 6)
    other.ptx = [document]
    [plain] = run.gradients(minibatches=1)
    [mixed] = other.gradients(minibatches=1, ptx_coef=27.8, ptx_documents_per_step=8)
    model = cast(PreTrainedModel, copy.deepcopy(run.reference))
    accumulate_gradients(model, [document], 0)
    pretraining = torch.cat(
        [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
    )
    torch.testing.assert_close(mixed - plain, 27.8 * pretraining, atol=1e-4, rtol=1e-4)


def test_a_steps_documents_are_spread_over_its_updates(run: Run, monkeypatch: pytest.MonkeyPatch):
    seen: list[int] = []

    def counting(model: PreTrainedModel, rows: Sequence[Encoded], pad: int, weight: float) -> float:
        seen.append(len(rows))
        return accumulate_gradients(model, rows, pad, weight)

    monkeypatch.setattr(ppo_update, "accumulate_gradients", counting)
    run.ptx = [Encoded([9, 30, 1], [True] * 3)]
    run.steps(epochs=2, minibatches=2, ptx_coef=1.0, ptx_documents_per_step=12)
    assert seen == [3, 3, 3, 3]


def test_the_gradient_is_clipped_to_its_norm(run: Run, other: Run):
    [whole], [clipped] = run.gradients(minibatches=1), other.gradients(minibatches=1, max_grad_norm=0.01)
    assert clipped.norm() == pytest.approx(0.01, rel=1e-3)
    torch.testing.assert_close(clipped / clipped.norm(), whole / whole.norm(), atol=1e-5, rtol=0)


def test_without_a_coefficient_there_is_no_pretraining_loss(run: Run):
    run.ptx = [Encoded([9, 30, 1], [True] * 3)]
    assert "ptx_loss" not in run.steps()[0].metrics
    assert "ptx_loss" in run.steps(ptx_coef=1.0)[0].metrics


def test_no_split_into_passes_changes_a_steps_gradient(run: Run, other: Run, monkeypatch: pytest.MonkeyPatch):
    whole = run.gradients()
    monkeypatch.setattr(ppo_update, "by_length", partial(by_length, tokens=50))
    parts = other.gradients()
    assert len(whole) == len(parts) == 2
    torch.testing.assert_close(parts[0], whole[0], atol=1e-6, rtol=1e-4)


def test_the_learning_rate_warms_up_and_decays_to_a_tenth(run: Run):
    rates = [
        step.metrics["learning_rate"]
        for step in run.steps(steps=10, warmup_steps=2, prompts_per_step=2, learning_rate=1.0)
    ]
    assert rates == pytest.approx([0.5, 0.91, 0.82, 0.73, 0.64, 0.55, 0.46, 0.37, 0.28, 0.19])


def test_advantages_have_mean_zero_so_the_first_loss_of_a_whole_batch_is_zero(run: Run):
    for whiten_rewards in (False, True):
        [step] = run.steps(minibatches=1, whiten_rewards=whiten_rewards)
        assert step.metrics["policy_loss"] == pytest.approx(0, abs=1e-6)


def test_whitening_rewards_changes_the_value_loss_and_not_the_reported_reward(run: Run, other: Run):
    [plain], [whitened] = run.steps(), other.steps(whiten_rewards=True)
    assert plain.metrics["reward"] == whitened.metrics["reward"]
    assert plain.metrics["value_loss"] != pytest.approx(whitened.metrics["value_loss"], rel=0.05)


def test_whitened_rewards_keep_their_mean(run: Run, other: Run):
    """Responses of one token that all score 3 have returns of 3, whitened or not."""
    run.score = other.score = lambda prompts, responses: torch.full((len(prompts),), 3.0)
    [plain], [whitened] = (
        r.steps(max_new_tokens=1, missing_eos_score=None, whiten_rewards=r is other) for r in (run, other)
    )
    assert whitened.metrics["value_loss"] == pytest.approx(plain.metrics["value_loss"], rel=1e-5)


def test_metrics_of_a_step_by_hand(run: Run):
    [step] = run.steps(missing_eos_score=None)
    drawn, numbers = step.rollouts, step.metrics
    assert step.number == 1
    assert numbers["ended"] == sum(response[-1] == 1 for response in drawn.responses) / 32
    assert numbers["length"] == sum(map(len, drawn.responses)) / 32
    assert numbers["distinct_responses"] == len(set(map(tuple, drawn.responses))) / 32
    share = numbers["score"]
    assert share == sum(response[0] == run.letters[0] for response in drawn.responses) / 32
    assert numbers["score_spread"] == pytest.approx((share * (1 - share)) ** 0.5)


def test_while_the_value_model_warms_up_the_policy_does_not_change(run: Run):
    before, head = run.weights(), run.value.head.weight.detach().clone()
    run.steps(steps=1, value_warmup_steps=1)
    assert torch.equal(run.weights(), before)
    assert not torch.equal(run.value.head.weight, head)


def test_values_are_not_clipped_while_warming(run: Run, other: Run):
    norms = []
    for one, steps in ((run, 1), (other, 0)):
        one.score = lambda prompts, responses: torch.full((len(responses),), 5.0)
        (step,) = one.steps(steps=1, value_warmup_steps=steps, minibatches=8, value_clip=1e-6)
        norms.append(step.metrics["value_grad_norm"])
    warm, cold = norms
    assert warm > 1.3 * cold  # beyond the clip a value has no gradient
