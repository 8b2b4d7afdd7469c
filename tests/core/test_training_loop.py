"""The training loop: its schedule, its epochs, and resuming after any step."""

import copy
import math
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from alignloop.core.numeric_checks import NonFiniteLoss
from alignloop.core.training_loop import Training, cosine

PLAN: dict[str, Any] = {
    "epochs": 2,
    "rows_per_step": 4,
    "learning_rate": 1e-2,
    "warmup": 0.2,
    "weight_decay": 0.1,
}


def training(seed: int = 0, **changes: Any) -> tuple[Training, nn.Linear, list[list[int]]]:
    """A linear fit to ten noisy points, and the rows of each step."""
    model, random = nn.Linear(1, 1), np.random.default_rng(seed)
    seen: list[list[int]] = []
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)

    def learn(chosen: list[int]) -> dict[str, float]:
        seen.append(chosen)
        rows = torch.tensor([[float(index)] for index in chosen])
        noise = torch.from_numpy(random.normal(size=(len(chosen), 1))).float()
        loss = ((model(rows) - 3 * rows - noise) ** 2).mean()
        loss.backward()
        return {"loss": float(loss.detach())}

    return Training(model, 10, learn, **{**PLAN, **changes}, random=random), model, seen


def test_the_learning_rate_warms_up_and_decays_to_a_tenth():
    rates = [cosine(step, 10, warmup=0.2) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.55), "half-way down"
    assert cosine(10, 10, warmup=0.2) == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(rates[2:]))
    assert cosine(0, 1, warmup=0.0) == 1.0


def test_the_optimiser_uses_the_reported_rates_and_the_configured_decay():
    groups: list[dict[str, Any]] = []
    handle = register_optimizer_step_pre_hook(
        lambda optimiser, args, kwargs: groups.append(dict(optimiser.param_groups[0]))
    )
    one, _, _ = training(warmup=0.5)
    reported = [numbers["learning_rate"] for _, _, numbers in one]
    handle.remove()
    assert (
        reported
        == [group["lr"] for group in groups]
        == pytest.approx([1e-2 * cosine(step, 6, 0.5) for step in range(6)])
    )
    assert reported[:3] == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2])
    assert {(group["weight_decay"], group["betas"]) for group in groups} == {(0.1, (0.9, 0.95))}


def test_every_epoch_is_a_new_permutation():
    steps, _, batches = training()
    assert [(step, total) for step, total, _ in steps] == [(number, 6) for number in range(1, 7)]
    first, second = list(chain(*batches[:3])), list(chain(*batches[3:]))
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    for seed, same in ((0, True), (1, False)):
        other, _, theirs = training(seed)
        list(other)
        assert (theirs == batches) == same


@pytest.mark.parametrize("left_after", range(7))
def test_a_training_resumed_after_any_step_ends_at_the_same_bits(left_after: int):
    whole, model, seen = training()
    numbers = list(whole)

    one, _, before = training()
    iterator = iter(one)
    head = [next(iterator) for _ in range(left_after)]
    state = copy.deepcopy(one.state())
    other, continued, after = training(seed=99)  # its own seed does not matter
    other.restore(state)
    assert head + list(other) == numbers
    assert before + after == seen
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(continued.parameters(), model.parameters(), strict=True)
    )


def test_weights_of_another_model_are_refused():
    one, _, _ = training()
    with pytest.raises(ValueError, match="do not belong together"):
        one.restore({**one.state(), "weights": {"bias": torch.zeros(1)}})


def test_a_non_finite_gradient_stops_at_its_step_and_names_the_rows():
    model = nn.Linear(1, 1)

    def learn(chosen: list[int]) -> dict[str, float]:
        model(torch.full((1, 1), math.inf if 7 in chosen else 1.0)).sum().backward()
        return {"loss": 0.0}

    names = [f"row {place}" for place in range(10)]
    whole = Training(model, 10, learn, names=names, **{**PLAN, "epochs": 1}, random=np.random.default_rng(0))
    with pytest.raises(NonFiniteLoss, match=r"step \d: the gradient's norm is") as raised:
        list(whole)
    order = np.random.default_rng(0).permutation(10).tolist()
    step = order.index(7) // 4 + 1
    assert str(raised.value).startswith(f"step {step}: ")
    assert list(raised.value.names) == [names[place] for place in order[4 * (step - 1) : 4 * step]]
