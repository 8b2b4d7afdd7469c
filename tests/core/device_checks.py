"""Models on another device than the tables: the same responses and numbers, and every tensor in its place.

`test_devices.py` runs these in a process of their own: a second device starts threads of autograd, and then
a process cannot be forked any more.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core import devices, lm_training, reward_training
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.family_check import check_family, packs
from alignloop.core.lora import add_adapters
from alignloop.core.models import load_policy, new_policy, save_policy
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score, score_rankings
from alignloop.core.tokens import Encoded
from tests.core.bandit import Run
from tests.core.second_device import OnDevice, on_cpu, second_device

ROWS = [Encoded([5 + (n * 7 + place) % 80 for place in range(6 + n)], [True] * (6 + n)) for n in range(9)]
SCHEDULE: dict[str, Any] = {"epochs": 2, "learning_rate": 3e-3, "warmup": 0.0, "weight_decay": 0.01}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with second_device(monkeypatch):
        yield


def values(model: nn.Module) -> list[Tensor]:
    return [on_cpu(weight.detach()) for weight in model.parameters()]


def close(found: list[Tensor], wanted: list[Tensor]) -> None:
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=1e-3)


def test_the_second_device_refuses_tensors_of_the_cpu(elsewhere: None) -> None:
    there = torch.ones(3).to(devices.current())
    assert isinstance(there, OnDevice)
    assert on_cpu(there + 1).tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="on the same device"):
        _ = there + torch.ones(3)
    with pytest.raises(RuntimeError, match="on the same device"):
        torch.ones(3)[torch.tensor([0]).to(devices.current())]


@pytest.mark.parametrize("packing", [False, True])
def test_a_language_model_learns_the_same(
    learner: PreTrainedModel, packing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(model: PreTrainedModel) -> tuple[list[dict[str, float]], float]:
        steps = lm_training.fit(
            model, ROWS, 0, rows_per_step=4, packing=packing, random=np.random.default_rng(0), **SCHEDULE
        )
        return [metrics for _, _, metrics in steps], lm_training.mean_loss(model, ROWS, 0)

    there = copy.deepcopy(learner)
    here = trained(learner)
    with second_device(monkeypatch):
        there = devices.place(there)
        found = trained(there)
        assert isinstance(next(there.parameters()), OnDevice)
    assert found[1] == pytest.approx(here[1], abs=1e-4)
    for mine, theirs in zip(found[0], here[0], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3)
    close(values(there), values(learner))


@pytest.mark.parametrize("packed", [False, True])
def test_a_reward_model_learns_scores_and_is_normalised_the_same(
    judge: RewardModel, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rankings = [
        EncodedRanking([[7, 8, 9 + n, 20 + place, 1] for place in range(3)], [1, 2, 2], shared=3)
        for n in range(6)
    ]
    monkeypatch.setattr(reward_training, "packs", lambda _: packed)

    def trained(model: RewardModel) -> list[Tensor]:
        random = np.random.default_rng(0)
        list(reward_training.train(model, rankings, 0, rankings_per_step=2, random=random, **SCHEDULE))
        rows = [row for ranking in rankings for row in ranking.rows]
        shift, scale = reward_training.normalise(model, rows, 0, gain=True)
        return [score(model, rows, 0), *score_rankings(model, rankings, 0), torch.tensor([shift, scale])]

    there = copy.deepcopy(judge)
    here = trained(judge)
    with second_device(monkeypatch):
        found = trained(devices.place(there))
    assert not any(isinstance(each, OnDevice) for each in found), "scores are on the CPU"
    close(found, here)


def adapters(run: Run) -> None:
    run.reference = add_adapters(run.policy, rank=4, alpha=8, seed=0)


def one_trunk(run: Run) -> None:
    run.value = RewardModel.on_trunk_of(run.policy)


def ptx(run: Run) -> None:
    run.ptx = ROWS


@pytest.mark.parametrize(
    ("prepare", "changes"),
    [
        (ptx, {"ptx_coef": 1.0, "ptx_documents_per_step": 4, "ema_decay": 0.8}),
        (one_trunk, {"epochs": 2}),
        (adapters, {"learning_rate": 1e-2}),
        (ptx, {"advantages": "rloo", "responses_per_prompt": 2, "prompts_per_step": 16}),
    ],
)
def test_ppo_draws_the_same_responses_and_learns_the_same(
    run: Run, other: Run, prepare: Any, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(run)
    here = run.steps(steps=2, **changes)
    with second_device(monkeypatch):
        other.policy, other.value = devices.place(other.policy), devices.place(other.value)
        other.reference = devices.place(other.reference)
        prepare(other)
        found = other.steps(steps=2, **changes)
    for mine, theirs in zip(found, here, strict=True):
        assert mine.rollouts.responses == theirs.rollouts.responses
        assert mine.metrics == pytest.approx(theirs.metrics, rel=2e-2, abs=1e-4)
    close(values(other.policy), values(run.policy))


def test_a_policy_that_is_made_or_loaded_is_placed_and_checked_where_it_is(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = new_policy(tokenizer, layers=1, width=32, heads=2, context=64, seed=0)
    save_policy(policy, tokenizer, tmp_path / "policy")
    RewardModel.from_policy(policy, 0).save(tmp_path / "reward", tokenizer)
    with second_device(monkeypatch):
        loaded, _ = load_policy(tmp_path / "policy")
        made = new_policy(tokenizer, layers=1, width=32, heads=2, context=64, seed=0)
        reward = RewardModel.load(tmp_path / "reward")
        for model in (
            loaded,
            made,
            reward,
            RewardModel.from_policy(loaded, 0),
            RewardModel.on_trunk_of(made),
        ):
            assert all(isinstance(weight, OnDevice) for weight in model.parameters())
        check_family(loaded, "policy")
        assert packs(loaded)
    close(values(loaded), values(policy))
    close(values(made), values(policy))
