"""Guards: what trips, when, on which side, what the message says, and what follows: a warning, the best policy so far, or an error."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from alignloop.core.experience import Rollouts
from alignloop.core.guards import RULES, Guard, GuardTripped, Strength, Watch, held_out_fall
from tests.core.bandit import Run

HEALTHY = {"kl": 3.0, "entropy": 1.0, "distinct_2": 0.3, "ended": 0.95, "held_out_fall": 0.0}
GUARDS = {
    "max_kl_per_response_nats": Guard(20.0, "stop"),
    "min_kl_per_response_nats": Guard(-0.5, "warn"),
    "min_entropy_per_token_nats": Guard(0.2, "warn"),
    "min_distinct_2": Guard(0.05, "warn"),
    "min_ended": Guard(0.5, "fail"),
    "max_held_out_fall": Guard(0.3, "stop"),
}
BROKEN = {
    "max_kl_per_response_nats": 21.0,
    "min_kl_per_response_nats": -0.6,
    "min_entropy_per_token_nats": 0.1,
    "min_distinct_2": 0.04,
    "min_ended": 0.4,
    "max_held_out_fall": 0.4,
}
NONE = Rollouts([], [], [], *[torch.empty(0)] * 3)
COLLAPSE: dict[str, Any] = {
    "steps": 12,
    "epochs": 8,
    "learning_rate": 1e-2,
    "missing_eos_score": None,
    "max_new_tokens": 3,
}
LIMITS = {  # of the bandit: what a policy keeps to that learns slowly, and one that collapses does not
    "max_kl_per_response_nats": 4.0,
    "min_entropy_per_token_nats": 0.3,
    "min_distinct_2": 0.14,
    "min_ended": 0.2,
    "max_held_out_fall": 0.2,
}


def test_a_healthy_run_trips_nothing():
    watch = Watch(GUARDS, 1)
    assert [watch.see(step, dict(HEALTHY), NONE) for step in range(1, 30)] == [[]] * 29
    assert watch.sound(HEALTHY)


@pytest.mark.parametrize("name", RULES)
def test_each_guard_trips_on_its_own_metric_and_no_other(name: str):
    metric, cause = RULES[name]
    watch = Watch(GUARDS, 1)
    [trip] = watch.see(7, {**HEALTHY, metric: BROKEN[name]}, NONE)
    assert (trip.guard, trip.strength) == (name, GUARDS[name].strength)
    side = "above" if name.startswith("max") else "below"
    said = f"{metric} {BROKEN[name]:g} is {side} {GUARDS[name].limit:g} (step 7, mean of 1 steps)"
    assert trip.message == f"ppo.guards.{name}: {said}: {cause}"
    assert not watch.sound({**HEALTHY, metric: BROKEN[name]})


@pytest.mark.parametrize("name", RULES)
def test_the_limit_itself_is_still_allowed(name: str):
    assert Watch(GUARDS, 1).see(1, {**HEALTHY, RULES[name][0]: GUARDS[name].limit}, NONE) == []


def test_a_guard_goes_by_the_mean_of_its_window_and_waits_until_it_is_full():
    watch = Watch({"max_kl_per_response_nats": Guard(10.0, "warn")}, 3)
    tripped = [
        bool(watch.see(step, {"kl": kl}, NONE)) for step, kl in enumerate([90.0, 90, 0, 0, 0, 31, 0, -1], 1)
    ]
    assert tripped == [False, False, True, True, False, True, True, False], (
        "means from step 3 on: 60, 30, 0, 10.3, 10.3, 10"
    )


def test_guards_go_on_elsewhere_from_what_they_have_seen():
    guards = {"max_kl_per_response_nats": Guard(10.0, "warn"), "min_ended": Guard(0.5, "warn")}
    one, other = Watch(guards, 2), Watch(guards, 2)
    for step, kl in ((4, 11.0), (5, 12.0)):
        one.see(step, {"kl": kl, "ended": 0.6, "length": 3.0}, NONE)
    other.restore(one.state())
    for watch in (one, other):
        assert [trip.guard for trip in watch.see(6, {"kl": 9.0, "ended": 0.3}, NONE)] == [
            "max_kl_per_response_nats",
            "min_ended",
        ]
        assert watch.first == {"max_kl_per_response_nats": 5, "min_ended": 6}, (
            "the first step beyond, not the last"
        )
    assert one.state() == other.state()


def test_only_a_guard_that_may_stop_asks_for_a_best_policy_to_be_kept():
    assert Watch(GUARDS, 1).stops
    assert not Watch({"min_ended": Guard(0.5, "fail"), "min_distinct_2": Guard(0.1, "warn")}, 1).stops


def test_a_held_out_score_that_falls_while_the_score_rises_by_hand():
    assert held_out_fall([1, 2, 3, 4], [1, 3, 2, 1.5], window=1) == 1.5
    assert held_out_fall([1, 2, 3, 4, 5, 6], [0, 2, 4, 2, 0, 0], window=2) == 3, (
        "means 1, 3, 3, 1, 0: from 3 to 0"
    )
    assert held_out_fall([1, 2, 3, 4], [1, 2, 3, 4], window=1) == 0
    assert held_out_fall([5, 4, 3, 2], [4, 3, 2, 1], window=1) == 0, (
        "both fall: the policy got worse, it did not cheat"
    )
    assert held_out_fall([1], [1], window=2) == held_out_fall([], [], window=1) == 0


def guarded(run: Run, strength: Strength, *names: str) -> Run:
    """The bandit with guards; its held-out score likes the letter that the score does not."""

    def other_letter(prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> Tensor:
        assert len(prompts) == len(responses)
        assert all(prompt in run.prompts for prompt in prompts)
        return torch.tensor([float(response[0] == run.letters[1]) for response in responses])

    held_out = other_letter if "max_held_out_fall" in names else None
    run.watch = Watch({name: Guard(LIMITS[name], strength) for name in names}, 2, held_out)
    return run


def test_a_policy_that_collapses_trips_every_guard_and_each_names_its_cause(run: Run):
    steps = guarded(run, "warn", *LIMITS).steps(**COLLAPSE)
    assert not steps[1].trips
    tripped = {trip.guard: trip.message for step in steps for trip in step.trips}
    assert set(tripped) == set(LIMITS) == set(RULES) - {"min_kl_per_response_nats"}
    assert all(message.endswith(RULES[name][1]) for name, message in tripped.items())


def test_a_policy_that_learns_slowly_trips_no_guard(run: Run):
    plan: dict[str, Any] = {"steps": 5, "learning_rate": 1e-4, "missing_eos_score": None, "max_new_tokens": 3}
    assert len(guarded(run, "fail", *LIMITS).steps(**plan)) == 5


def test_a_stop_goes_back_to_the_policy_that_earned_most_within_the_limits(run: Run):
    guarded(run, "stop", "max_kl_per_response_nats")
    held: list[Tensor] = []  # the policy that drew the answers of each step
    run.score = lambda prompts, responses: held.append(run.weights()) or run.first_letter(prompts, responses)
    steps = run.steps(**COLLAPSE)
    earned = [step.metrics["reward"] if step.metrics["kl"] <= 4 else -1 for step in steps]
    assert steps[-1].metrics["kl"] > 4
    assert 0 < earned.index(max(earned)) < len(steps) - 1
    assert torch.equal(run.weights(), held[earned.index(max(earned))])


def test_best_is_what_the_held_out_score_calls_best_where_there_is_one(run: Run):
    guarded(run, "stop", "max_held_out_fall")
    held: list[Tensor] = []
    run.score = lambda prompts, responses: held.append(run.weights()) or run.first_letter(prompts, responses)
    steps = run.steps(**COLLAPSE)
    sound = [step.metrics["held_out_score"] if step.metrics["held_out_fall"] <= 0.2 else -1 for step in steps]
    assert torch.equal(run.weights(), held[sound.index(max(sound))])


def test_a_guard_that_fails_ends_the_run_before_anything_more_is_learned(run: Run):
    guarded(run, "fail", "max_kl_per_response_nats")
    held: list[Tensor] = []
    run.score = lambda prompts, responses: held.append(run.weights()) or run.first_letter(prompts, responses)
    with pytest.raises(
        GuardTripped,
        match=r"max_kl_per_response_nats: kl [\d.]+ is above 4 .*: the policy has left its reference",
    ):
        run.steps(**COLLAPSE)
    assert torch.equal(run.weights(), held[-1])


def test_a_warning_changes_nothing_that_is_learned(run: Run, other: Run):
    plan = {**COLLAPSE, "steps": 6}
    warned, plain = guarded(run, "warn", "max_kl_per_response_nats").steps(**plan), other.steps(**plan)
    assert [len(step.trips) for step in warned] == [0] * 4 + [1] * 2
    assert [step.metrics for step in warned] == [step.metrics for step in plain]
    assert torch.equal(run.weights(), other.weights())


def test_a_kl_below_zero_is_said_with_its_likely_causes():
    [trip] = Watch(GUARDS, 1).see(3, {**HEALTHY, "kl": -0.6}, NONE)
    assert "kl -0.6 is below -0.5 (step 3" in trip.message
    assert "in expectation cannot be" in trip.message
    assert "differ in temperature or allowed tokens" in trip.message


def test_answers_that_earn_more_the_longer_they_are_lose_their_end_and_trip_the_guard(run: Run):
    run.score = lambda prompts, responses: torch.tensor([float(len(response)) for response in responses])
    run.watch = Watch({"min_ended": Guard(0.2, "stop")}, 2)
    steps = run.steps(**{**COLLAPSE, "max_new_tokens": 5})
    assert steps[-1].metrics["score"] > steps[0].metrics["score"]
    assert steps[-1].metrics["length"] > steps[0].metrics["length"]
    assert (
        steps[-1]
        .trips[0]
        .message.endswith(
            "answers lose their end; lower ppo.missing_eos_score, or raise decoding.max_new_tokens"
        )
    )
    assert len(steps) < COLLAPSE["steps"]
