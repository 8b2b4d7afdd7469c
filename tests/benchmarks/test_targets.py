"""A target is reached if the mean and all but one in five runs meet it."""

from typing import Any

import pytest

from benchmarks import targets
from benchmarks.targets import Rounds, Target, table


def _runs(*refused: float) -> dict[str, Rounds]:
    return {str(place): [{"refused": number}] for place, number in enumerate(refused)}


@pytest.mark.parametrize(
    ("numbers", "reached"),
    [
        ((0.9, 0.9, 0.9, 0.9, 0.9), True),
        ((0.95, 0.95, 0.95, 0.95, 0.71), True),  # the mean is 0.902, and four of five hold
        ((0.95, 0.95, 0.95, 0.95, 0.65), False),  # the mean is 0.89
        ((0.99, 0.99, 0.99, 0.89, 0.89), False),  # the mean is 0.95, but two do not hold
        ((0.8996, 0.8996, 0.8996), True),  # as exact as the table shows it
        ((0.95, 0.95, 0.89), False),  # of fewer than five, all have to
    ],
)
def test_a_target_is_reached_by_the_mean_and_by_four_of_five(
    numbers: tuple[float, ...], reached: bool, monkeypatch: Any
):
    monkeypatch.setattr(targets, "TARGETS", (Target("refusal", 0.9, lambda rounds: rounds[-1]["refused"]),))
    text, missed = table(_runs(*numbers))
    assert missed == ([] if reached else ["refusal"])
    assert ("**missed**" in text) is not reached
    assert f"{sum(round(number, 3) >= 0.9 for number in numbers)} of {len(numbers)}" in text


def test_an_upper_bound_is_met_from_below():
    target = Target("over-refusal", 0.05, lambda rounds: 0.0, at_most=True)
    assert target.met(0.05)
    assert not target.met(0.051)


def test_every_target_reads_existing_fields_of_the_evaluation():
    behaviours = {"refusal": {"passed": 0.8}, "fact": {"passed": 0.5}}
    sft = {
        "gold": 1.0,
        "made_up": 0.2,
        "over_refused": 0.1,
        "distinct_2": 0.2,
        "distinct_responses": 0.8,
        "behaviours": behaviours,
    }
    policy = {
        **sft,
        "gold": 2.0,
        "made_up": 0.05,
        "distinct_2": 0.15,
        "behaviours": {**behaviours, "fact": {"passed": 0.4}},
    }
    wins = {name: {"rate": 0.8, "low": 0.7} for name in ("sft_vs_base", "policy_vs_base", "policy_vs_sft")}
    round = {
        "models": {"sft": sft, "policy": policy},
        "win_rates": {**wins, "policy_vs_sft_length_controlled": 0.75},
        "reward_model": {"accuracy_labelers": 0.6, "labelers_agreement_gold": 0.8, "accuracy_gold": 0.7},
        "against_first": {"rate": 0.55, "low": 0.5},
    }
    numbers = {target.name: target.number([round]) for target in targets.TARGETS}
    assert numbers["greatest fall of a behaviour's pass rate"] == pytest.approx(0.1)
    assert numbers["made-up responses, of SFT's"] == pytest.approx(0.25)
    assert numbers["distinct-2, of SFT's"] == pytest.approx(0.75)
    assert numbers[
        "reward model on held-out labelers' pairs, of their agreement with gold on these"
    ] == pytest.approx(0.75)
    assert numbers["length-controlled win rate, distance from the raw one"] == pytest.approx(0.05)
