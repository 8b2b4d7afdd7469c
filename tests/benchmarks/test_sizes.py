"""The sizes benchmark: its law is found again in losses that follow it, and its tables say what cells say."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from alignloop.world.things import Fact
from benchmarks.scaling_law import Law, fit, intervals
from benchmarks.sizes import WIDTHS, _cloze, learning_rate
from benchmarks.sizes_report import accuracies, picture, report

LAW = Law(floor=0.7, a=40.0, b=900.0, alpha=0.5, beta=0.6)
PLACES = [*product((3e4, 8e4, 2e5, 6e5), (3e4, 1.2e5, 5e5))]
WEIGHTS, TOKENS = ([each[side] for each in PLACES] for side in (0, 1))


def losses(noise: float = 0.0) -> list[float]:
    random = np.random.default_rng(0)
    exact = LAW.loss(np.array(WEIGHTS), np.array(TOKENS))
    return (exact * np.exp(random.normal(0, noise, len(exact)))).tolist()


def test_the_law_of_losses_that_follow_it_is_found():
    found = fit(WEIGHTS, TOKENS, losses())
    assert (found.floor, found.alpha, found.beta) == pytest.approx((0.7, 0.5, 0.6), rel=1e-3)
    assert found.frontier == pytest.approx(0.3 / 1.1, rel=1e-3)


def test_the_least_loss_at_a_compute_is_no_higher_than_that_of_any_size():
    compute = np.array([1e11, 1e12])
    for weights in np.geomspace(1e4, 1e6, 200):
        other = LAW.loss(np.full(2, weights), compute / 6 / weights)
        assert (LAW.least_loss(compute) <= other + 1e-12).all()


def test_intervals_hold_the_truth_and_grow_with_the_noise():
    exact = intervals(WEIGHTS, TOKENS, losses(0.001), draws=10, seed=1)
    noisy = intervals(WEIGHTS, TOKENS, losses(0.02), draws=10, seed=1)
    assert set(exact) == {"floor", "alpha", "beta", "frontier"}
    _, low, high = exact["beta"]
    assert low < 0.6 < high
    assert high - low < noisy["beta"][2] - noisy["beta"][1]


def test_the_tables_are_of_the_cells():
    cells: list[dict[str, Any]] = [
        {"seed": 1, "width": width, "share": share, "weights": weights, "tokens": tokens, "loss": loss}
        for width, share, weights, tokens, loss in (
            (16, 0.5, 100, 50, 2.0), (16, 1.0, 100, 100, 1.0),
            (32, 0.5, 200, 50, 1.5), (32, 1.0, 200, 100, 0.5),
        )
    ]  # fmt: skip
    for cell in cells:
        cell["right"] = {"0": [1, 0, 0, 0], "4": [1, int(cell["width"] == 32)] * 2}
    golds = {"sft": [0.0, -2.0], "ppo": [2.0, 3.0], "bases": {"16": [-1.0, -1.0], "32": [-1.0, 1.0]}}
    text = report({"cells": cells, "aligned": [{"small": 16, "judge": 32, **golds}]}, draws=2)
    assert "| 16    |     100 | 2.000 (2.000 to 2.000) | 1.000 (1.000 to 1.000) |" in text
    assert accuracies(cells)[100]["4"]["rate"] == 0.5
    assert accuracies(cells)[200]["4"]["rate"] == 1.0
    lines = [line for line in text.splitlines() if "PPO" in line]
    assert "2.500" in lines[0]
    assert lines[0].count("1.000 [") == 2, "PPO wins against both base models"
    assert picture({"cells": cells, "aligned": []}, 2).axes[2].get_xscale() == "log"


def test_a_question_about_a_fact_ends_before_its_value_after_other_things_of_its_kind():
    own = [
        Fact(thing, "colour", value, ())
        for thing, value in (("lamp", "red"), ("bell", "blue"), ("cup", "grey"))
    ]
    assert _cloze(own[0], own, 0, 1) == "The colour of the lamp is "
    *shots, last = _cloze(own[0], own, 2, 1).split("\n\n")
    assert sorted(shots) == ["The colour of the bell is blue.", "The colour of the cup is grey."]
    assert last == "The colour of the lamp is "


def test_sizes_span_the_weights_and_small_ones_learn_faster():
    assert [learning_rate(width) for width in WIDTHS] == [0.01, 0.01, 0.006, 0.003]
