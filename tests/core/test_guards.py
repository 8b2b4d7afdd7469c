"""Guards by hand: what trips, when, on which side, and what the message says."""

import pytest

from alignloop.core.guards import RULES, Guard, Watch, held_out_fall

HEALTHY = {"kl": 3.0, "entropy": 1.0, "distinct_2": 0.3, "ended": 0.95, "held_out_fall": 0.0}
GUARDS = {
    "max_kl_per_response_nats": Guard(20.0, "stop"),
    "min_entropy_per_token_nats": Guard(0.2, "warn"),
    "min_distinct_2": Guard(0.05, "warn"),
    "min_ended": Guard(0.5, "fail"),
    "max_held_out_fall": Guard(0.3, "stop"),
}
BROKEN = {"kl": 21.0, "entropy": 0.1, "distinct_2": 0.04, "ended": 0.4, "held_out_fall": 0.4}


def test_a_healthy_run_trips_nothing():
    watch = Watch(GUARDS, 1)
    assert [watch.see(step, HEALTHY) for step in range(1, 30)] == [[]] * 29


@pytest.mark.parametrize("name", RULES)
def test_each_guard_trips_on_its_own_metric_and_no_other(name: str):
    metric, cause = RULES[name]
    [trip] = Watch(GUARDS, 1).see(7, {**HEALTHY, metric: BROKEN[metric]})
    assert (trip.guard, trip.strength) == (name, GUARDS[name].strength)
    assert trip.message.startswith(f"ppo.guards.{name}: {metric} {BROKEN[metric]:g} is ")
    assert "step 7" in trip.message
    assert trip.message.endswith(cause)


@pytest.mark.parametrize("name", RULES)
def test_the_limit_itself_is_still_allowed(name: str):
    assert Watch(GUARDS, 1).see(1, {**HEALTHY, RULES[name][0]: GUARDS[name].limit}) == []


def test_a_guard_goes_by_the_mean_of_its_window_and_waits_until_it_is_full():
    watch = Watch({"max_kl_per_response_nats": Guard(10.0, "warn")}, 3)
    tripped = [bool(watch.see(step, {"kl": kl})) for step, kl in enumerate([90, 90, 0, 0, 0, 31, 0, -1], 1)]
    assert tripped == [False, False, True, True, False, True, True, False], "means from step 3 on: 60, 30, 0, 10.3, 10.3, 10"


def test_only_a_guard_that_may_stop_asks_for_a_best_policy_to_be_kept():
    assert Watch(GUARDS, 1).stops
    assert not Watch({"min_ended": Guard(0.5, "fail"), "min_distinct_2": Guard(0.1, "warn")}, 1).stops


def test_a_held_out_score_that_falls_while_the_score_rises_by_hand():
    assert held_out_fall([1, 2, 3, 4], [1, 3, 2, 1.5], window=1) == 1.5
    assert held_out_fall([1, 2, 3, 4, 5, 6], [0, 2, 4, 2, 0, 0], window=2) == 3, "means 1, 3, 3, 1, 0: from 3 to 0"
    assert held_out_fall([1, 2, 3, 4], [1, 2, 3, 4], window=1) == 0
    assert held_out_fall([5, 4, 3, 2], [4, 3, 2, 1], window=1) == 0, "both fall: the policy got worse, it did not cheat"
    assert held_out_fall([1], [1], window=2) == held_out_fall([], [], window=1) == 0
