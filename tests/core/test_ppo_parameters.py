"""Each number of PPO's settings does what its name says, and does it to the model that it names."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from alignloop.core import ppo
from alignloop.core.experience import Experience, appraise
from alignloop.core.generate import Responses
from alignloop.core.ppo import RatioError
from tests.core.bandit import SETTINGS, Run


def test_each_optimiser_has_its_own_peak_rate_one_schedule_and_the_same_moments(run: Run):
    seen: dict[str, list[dict[str, Any]]] = {"policy": [], "value": []}

    def note(optimiser: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        [group] = optimiser.param_groups
        of = "policy" if group["params"][0] is next(run.policy.parameters()) else "value"
        seen[of].append({name: group[name] for name in ("lr", "betas", "eps", "weight_decay")})

    handle = register_optimizer_step_pre_hook(note)
    plan: dict[str, Any] = {
        "steps": 4,
        "prompts_per_step": 4,
        "minibatches": 1,
        "max_new_tokens": 2,
        "warmup_steps": 2,
    }
    rates: dict[str, Any] = {"learning_rate": 1e-3, "value_learning_rate": 5e-3, "final_learning_rate": 0.6}
    run.steps(**plan, **rates, adam_betas=[0.8, 0.7], adam_epsilon=1e-4)
    handle.remove()
    shares = [
        0.5,
        0.9,
        0.8,
        0.7,
    ]  # half of the peak while it warms up, and a tenth less a step, to 0.6 after the last
    for of, peak in (("policy", 1e-3), ("value", 5e-3)):
        assert [group.pop("lr") for group in seen[of]] == pytest.approx([peak * share for share in shares])
        assert seen[of] == [{"betas": (0.8, 0.7), "eps": 1e-4, "weight_decay": 0.0}] * 4


def test_every_pass_over_a_step_meets_each_answer_once_and_in_an_order_of_its_own(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    met: list[list[int]] = []
    learn = ppo._learn

    def noting(
        policy: Any, value: Any, weights: Any, experience: Experience, minibatch: list[int], *rest: Any
    ) -> dict[str, float]:
        met.append(minibatch)
        return learn(policy, value, weights, experience, minibatch, *rest)

    monkeypatch.setattr(ppo, "_learn", noting)
    run.steps(steps=2, prompts_per_step=10, epochs=3, minibatches=4, max_new_tokens=1)
    assert [len(minibatch) for minibatch in met] == [3, 3, 2, 2] * 6
    passes = [[*chain(*met[start : start + 4])] for start in range(0, 24, 4)]
    assert all(sorted(order) == list(range(10)) for order in passes)
    assert len(set(map(tuple, passes))) == 6


def test_both_clips_are_as_wide_as_they_are_set(run: Run, other: Run):
    plan: dict[str, Any] = {
        "epochs": 4,
        "minibatches": 1,
        "learning_rate": 1e-2,
        "value_learning_rate": 1e-2,
        "max_new_tokens": 3,
    }
    [wide], [narrow] = (
        run.steps(**plan, clip=1e6, value_clip=1e6),
        other.steps(**plan, clip=1e-6, value_clip=1e-6),
    )
    for share in ("clip_fraction", "value_clip_fraction"):
        assert wide.metrics[share] == 0 < 0.2 < narrow.metrics[share], share


@pytest.mark.parametrize(("distance", "refused"), [(5e-5, False), (2e-4, True), (-2e-4, True)])
def test_in_fp32_a_ratio_more_than_a_ten_thousandth_from_one_stops_the_run(
    run: Run, distance: float, refused: bool, monkeypatch: pytest.MonkeyPatch
):
    draw = ppo.sample

    def shifted(*given: Any) -> Responses:
        drawn = draw(*given)
        return Responses(drawn.ids, [part - distance for part in drawn.logprobs], drawn.ended)

    monkeypatch.setattr(ppo, "sample", shifted)
    before = run.weights()
    if refused:
        with pytest.raises(
            RatioError,
            match=r"ratios of the first minibatch are 0\.0002\d+ from 1: sampler and learner disagree",
        ):
            run.steps(minibatches=1, max_new_tokens=3)
        assert torch.equal(run.weights(), before), "nothing was learned"
    else:
        [step] = run.steps(minibatches=1, max_new_tokens=3)
        assert step.metrics["ratio_first"] == pytest.approx(1 + distance, abs=1e-5)


def appraised(run: Run, lengths: Sequence[int], ended: Sequence[bool], **changes: Any) -> Experience:
    """Answers of these lengths, the last token of each the end or a letter, worth 10, 20, …, at no KL cost."""
    ids = [
        [run.letters[0]] * (length - 1) + [1 if end else run.letters[1]]
        for length, end in zip(lengths, ended, strict=True)
    ]
    responses = Responses(ids, [torch.full((len(row),), -1.0) for row in ids], list(ended))
    worth = 10.0 * torch.arange(1, len(ids) + 1)
    settings = replace(SETTINGS, **{"missing_eos_score": -7.0, **changes})
    prompts = run.prompts[: len(ids)]
    return appraise(
        run.reference,
        run.value,
        lambda prompts, responses: worth,
        prompts,
        responses,
        0.0,
        run.allowed,
        0,
        settings,
    )[1]


def test_wherever_an_answer_ends_its_score_stands_there_and_one_that_was_cut_off_has_the_set_score(run: Run):
    """With γ = 0 a return is the reward of its token: the end at each place from first to last, and no end at the last and before it."""
    learned = appraised(run, [1, 2, 3, 4, 5, 5, 1], [True] * 5 + [False] * 2, gamma=0.0)
    expected = torch.zeros(7, 5)
    for row, (last, score) in enumerate([(0, 10), (1, 20), (2, 30), (3, 40), (4, 50), (4, -7), (0, -7)]):
        expected[row, last] = score
    torch.testing.assert_close(learned.returns, expected, atol=1e-4, rtol=0)
    kept = appraised(run, [5, 1], [False] * 2, gamma=0.0, missing_eos_score=None)
    torch.testing.assert_close(
        kept.returns, torch.tensor([[0, 0, 0, 0, 10.0], [20.0, 0, 0, 0, 0]]), atol=1e-4, rtol=0
    )


def test_returns_are_discounted_by_the_gamma_and_lambda_that_are_set(run: Run):
    """Against the definition: A_t = Σ (γλ)^l · δ_{t+l}, with δ_t = r_t + γ·V_{t+1} − V_t."""
    gamma, lam = 0.9, 0.5
    learned = appraised(run, [4, 2], [True, True], gamma=gamma, lam=lam)
    for row, length in enumerate((4, 2)):
        values = [*learned.values[row, :length].tolist(), 0.0]
        errors = [
            10.0 * (row + 1) * (t == length - 1) + gamma * values[t + 1] - values[t] for t in range(length)
        ]
        advantages = [
            sum((gamma * lam) ** ahead * error for ahead, error in enumerate(errors[t:]))
            for t in range(length)
        ]
        expected = np.add(advantages, values[:-1])
        torch.testing.assert_close(
            learned.returns[row, :length], torch.as_tensor(expected, dtype=torch.float32), atol=1e-4, rtol=0
        )
        assert len({round(value, 3) for value in values}) > 1, "the values differ from token to token"
    returns: Tensor = learned.returns
    assert not returns[1, 2:].any()
