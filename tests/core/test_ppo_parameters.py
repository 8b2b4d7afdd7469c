"""Each value of the PPO configuration has its effect, on the model that it names."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from alignloop.core import ppo_update, sampler
from alignloop.core.experience import Experience, compute_experience
from alignloop.core.generate import Responses
from alignloop.core.ppo_update import RatioError
from tests.core.bandit import CONFIG, Run


def test_each_optimiser_has_its_own_peak_rate_and_both_the_same_schedule_and_betas(run: Run):
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
    # half of the peak in warm-up, then a tenth less a step, to 0.6 after the last
    shares = [0.5, 0.9, 0.8, 0.7]
    for of, peak in (("policy", 1e-3), ("value", 5e-3)):
        assert [group.pop("lr") for group in seen[of]] == pytest.approx([peak * share for share in shares])
        assert seen[of] == [{"betas": (0.8, 0.7), "eps": 1e-4, "weight_decay": 0.0}] * 4


def test_every_epoch_over_a_step_uses_each_response_once_in_a_new_order(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    seen: list[list[int]] = []
    original = ppo_update._minibatch_gradients

    def recording(
        policy: Any, value: Any, experience: Experience, minibatch: list[int], **rest: Any
    ) -> dict[str, float]:
        seen.append(minibatch)
        return original(policy, value, experience, minibatch, **rest)

    monkeypatch.setattr(ppo_update, "_minibatch_gradients", recording)
    run.steps(steps=2, prompts_per_step=10, epochs=3, minibatches=4, max_new_tokens=1)
    assert [len(minibatch) for minibatch in seen] == [3, 3, 2, 2] * 6
    passes = [[*chain(*seen[start : start + 4])] for start in range(0, 24, 4)]
    assert all(sorted(order) == list(range(10)) for order in passes)
    assert len(set(map(tuple, passes))) == 6


def test_both_clips_are_as_wide_as_configured(run: Run, other: Run):
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
def test_in_fp32_a_ratio_further_than_1e_4_from_one_stops_the_run(
    run: Run, distance: float, refused: bool, monkeypatch: pytest.MonkeyPatch
):
    draw = sampler.sample

    def shifted(*arguments: Any, **options: Any) -> Responses:
        drawn = draw(*arguments, **options)
        return Responses(drawn.ids, [part - distance for part in drawn.logprobs], drawn.ended)

    monkeypatch.setattr(sampler, "sample", shifted)
    before = run.weights()
    if refused:
        with pytest.raises(
            RatioError,
            match=r"ratios of the first minibatch are 0\.0002\d+ from 1: sampling and training disagree",
        ):
            run.steps(minibatches=1, max_new_tokens=3)
        assert torch.equal(run.weights(), before), "nothing was learned"
    else:
        [step] = run.steps(minibatches=1, max_new_tokens=3)
        assert step.metrics["ratio_first"] == pytest.approx(1 + distance, abs=1e-5)


def experience_of(run: Run, lengths: Sequence[int], ended: Sequence[bool], **changes: Any) -> Experience:
    """Responses of these lengths that end or not, with scores 10, 20, … and a KL coefficient of 0."""
    ids = [
        [run.letters[0]] * (length - 1) + [1 if end else run.letters[1]]
        for length, end in zip(lengths, ended, strict=True)
    ]
    responses = Responses(ids, [torch.full((len(row),), -1.0) for row in ids], list(ended))
    scores = 10.0 * torch.arange(1, len(ids) + 1)
    return compute_experience(
        run.reference,
        run.value,
        lambda prompts, responses: scores,
        run.prompts[: len(ids)],
        responses,
        kl_coef=0.0,
        rules=run.rules,
        config=replace(CONFIG, **{"missing_eos_score": -7.0, **changes}),
    )[1]


def test_the_score_is_the_reward_of_the_last_token_and_a_cut_response_has_the_missing_eos_score(run: Run):
    """With γ = 0 a return is the reward of its token."""
    learned = experience_of(run, [1, 2, 3, 4, 5, 5, 1], [True] * 5 + [False] * 2, gamma=0.0)
    expected = torch.zeros(7, 5)
    for row, (last, score) in enumerate([(0, 10), (1, 20), (2, 30), (3, 40), (4, 50), (4, -7), (0, -7)]):
        expected[row, last] = score
    torch.testing.assert_close(learned.returns, expected, atol=1e-4, rtol=0)
    uncut = experience_of(run, [5, 1], [False] * 2, gamma=0.0, missing_eos_score=None)
    torch.testing.assert_close(
        uncut.returns, torch.tensor([[0, 0, 0, 0, 10.0], [20.0, 0, 0, 0, 0]]), atol=1e-4, rtol=0
    )


def test_returns_use_the_configured_gamma_and_lambda(run: Run):
    """Compared with the definition: A_t = Σ (γλ)^l · δ_{t+l}, with δ_t = r_t + γ·V_{t+1} − V_t."""
    gamma, lam = 0.9, 0.5
    learned = experience_of(run, [4, 2], [True, True], gamma=gamma, lam=lam)
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
