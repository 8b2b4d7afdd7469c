"""Guards: when each is violated, its message, and what follows: a warning, the best policy so far, or an
error.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from alignloop.core.experience import Rollouts
from alignloop.core.guards import RULES, Guard, GuardMonitor, GuardTripped, Strength, held_out_fall
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
NONE = Rollouts([], [], [], scores=torch.empty(0), kl=torch.empty(0), rewards=torch.empty(0))
COLLAPSE: dict[str, Any] = {
    "steps": 12,
    "epochs": 8,
    "learning_rate": 1e-2,
    "missing_eos_score": None,
    "max_new_tokens": 3,
}
# of the bandit: a policy that learns slowly stays within them, and one that collapses is far beyond them by
# step 6,
# whatever the rounding
LIMITS = {
    "max_kl_per_response_nats": 2.2,
    "min_entropy_per_token_nats": 0.9,
    "min_distinct_2": 0.25,
    "max_held_out_fall": 0.15,
}


def test_a_healthy_run_violates_no_guard():
    monitor = GuardMonitor(GUARDS, 1)
    assert [monitor.check(step, dict(HEALTHY), NONE) for step in range(1, 30)] == [[]] * 29
    assert monitor.within_limits(HEALTHY)


@pytest.mark.parametrize("name", RULES)
def test_each_guard_is_violated_by_its_own_metric_and_no_other(name: str):
    metric, cause = RULES[name]
    monitor = GuardMonitor(GUARDS, 1)
    [violation] = monitor.check(7, {**HEALTHY, metric: BROKEN[name]}, NONE)
    assert (violation.guard, violation.strength) == (name, GUARDS[name].strength)
    side = "above" if name.startswith("max") else "below"
    fault = f"{metric} {BROKEN[name]:g} is {side} {GUARDS[name].limit:g} (step 7, mean of 1 steps)"
    assert violation.message == f"ppo.guards.{name}: {fault}: {cause}"
    assert not monitor.within_limits({**HEALTHY, metric: BROKEN[name]})


@pytest.mark.parametrize("name", RULES)
def test_a_metric_equal_to_the_limit_is_allowed(name: str):
    assert GuardMonitor(GUARDS, 1).check(1, {**HEALTHY, RULES[name][0]: GUARDS[name].limit}, NONE) == []


def test_a_guard_compares_the_mean_of_a_full_window():
    monitor = GuardMonitor({"max_kl_per_response_nats": Guard(10.0, "warn")}, 3)
    tripped = [
        bool(monitor.check(step, {"kl": kl}, NONE))
        for step, kl in enumerate([90.0, 90, 0, 0, 0, 31, 0, -1], 1)
    ]
    assert tripped == [False, False, True, True, False, True, True, False], (
        "means from step 3 on: 60, 30, 0, 10.3, 10.3, 10"
    )


def test_a_monitor_resumes_from_its_state():
    guards = {"max_kl_per_response_nats": Guard(10.0, "warn"), "min_ended": Guard(0.5, "warn")}
    one, other = GuardMonitor(guards, 2), GuardMonitor(guards, 2)
    for step, kl in ((4, 11.0), (5, 12.0)):
        one.check(step, {"kl": kl, "ended": 0.6, "length": 3.0}, NONE)
    other.restore(one.state())
    for monitor in (one, other):
        assert [violation.guard for violation in monitor.check(6, {"kl": 9.0, "ended": 0.3}, NONE)] == [
            "max_kl_per_response_nats",
            "min_ended",
        ]
        assert monitor.first_violations == {"max_kl_per_response_nats": 5, "min_ended": 6}, (
            "the first step beyond the limit, not the last"
        )
    assert one.state() == other.state()


def test_a_best_policy_is_needed_only_if_a_guard_may_stop():
    assert GuardMonitor(GUARDS, 1).can_stop
    assert not GuardMonitor(
        {"min_ended": Guard(0.5, "fail"), "min_distinct_2": Guard(0.1, "warn")}, 1
    ).can_stop


def test_a_held_out_score_that_falls_while_the_score_rises_by_hand():
    assert held_out_fall([1, 2, 3, 4], [1, 3, 2, 1.5], window=1) == 1.5
    assert held_out_fall([1, 2, 3, 4, 5, 6], [0, 2, 4, 2, 0, 0], window=2) == 3, (
        "means 1, 3, 3, 1, 0: from 3 to 0"
    )
    assert held_out_fall([1, 2, 3, 4], [1, 2, 3, 4], window=1) == 0
    assert held_out_fall([5, 4, 3, 2], [4, 3, 2, 1], window=1) == 0, (
        "both fall: the policy got worse, but did not over-optimise"
    )
    assert held_out_fall([1], [1], window=2) == held_out_fall([], [], window=1) == 0


def guarded(run: Run, strength: Strength, *names: str) -> Run:
    """The bandit with guards; the held-out score prefers another letter than the score does."""

    def other_letter(prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> Tensor:
        assert len(prompts) == len(responses)
        assert all(prompt in run.prompts for prompt in prompts)
        return torch.tensor([float(response[0] == run.letters[1]) for response in responses])

    held_out = other_letter if "max_held_out_fall" in names else None
    run.guards = GuardMonitor({name: Guard(LIMITS[name], strength) for name in names}, 2, held_out)
    return run


def test_a_policy_that_collapses_violates_every_guard_and_each_names_its_cause(run: Run):
    steps = guarded(run, "warn", *LIMITS).steps(**COLLAPSE)
    assert not steps[0].violations, "there is no full window yet"
    tripped = {violation.guard: violation.message for step in steps for violation in step.violations}
    assert set(tripped) == set(LIMITS) == set(RULES) - {"min_kl_per_response_nats", "min_ended"}
    assert all(message.endswith(RULES[name][1]) for name, message in tripped.items())


def test_a_policy_that_learns_slowly_violates_no_guard(run: Run):
    plan: dict[str, Any] = {"steps": 5, "learning_rate": 1e-4, "missing_eos_score": None, "max_new_tokens": 3}
    assert len(guarded(run, "fail", *LIMITS).steps(**plan)) == 5


def test_a_stop_restores_the_policy_with_the_highest_reward_within_the_limits(run: Run):
    guarded(run, "stop", "max_kl_per_response_nats")
    held: list[Tensor] = []  # the policy that drew the responses of each step
    run.score = lambda prompts, responses: held.append(run.weights()) or run.first_letter(prompts, responses)
    steps = run.steps(**COLLAPSE)
    limit = LIMITS["max_kl_per_response_nats"]
    rewards = [step.metrics["reward"] if step.metrics["kl"] <= limit else -1 for step in steps]
    assert steps[-1].violations
    assert steps[-1].number < COLLAPSE["steps"], "it stopped early"
    assert torch.equal(run.weights(), held[rewards.index(max(rewards))])


def test_the_best_policy_is_the_one_with_the_highest_held_out_score_where_there_is_one(run: Run):
    guarded(run, "stop", "max_held_out_fall")
    held: list[Tensor] = []
    run.score = lambda prompts, responses: held.append(run.weights()) or run.first_letter(prompts, responses)
    steps = run.steps(**COLLAPSE)
    limit = LIMITS["max_held_out_fall"]
    scores = [
        step.metrics["held_out_score"] if step.metrics["held_out_fall"] <= limit else -1 for step in steps
    ]
    assert torch.equal(run.weights(), held[scores.index(max(scores))])


def test_a_guard_that_fails_ends_the_run_without_another_update(run: Run):
    guarded(run, "fail", "max_kl_per_response_nats")
    held: list[Tensor] = []
    run.score = lambda prompts, responses: held.append(run.weights()) or run.first_letter(prompts, responses)
    with pytest.raises(
        GuardTripped,
        match=r"max_kl_per_response_nats: kl [\d.]+ is above 2\.2 .*: the policy is far from its reference",
    ):
        run.steps(**COLLAPSE)
    assert torch.equal(run.weights(), held[-1])


def test_a_warning_changes_no_metric_and_no_weight(run: Run, other: Run):
    """At which step the guard is violated depends on rounding: some step after the first ones is enough."""
    plan = {**COLLAPSE, "steps": 8}
    warned, plain = guarded(run, "warn", "max_kl_per_response_nats").steps(**plan), other.steps(**plan)
    assert not any(step.violations for step in warned[:2])
    assert any(step.violations for step in warned)
    assert [step.metrics for step in warned] == [step.metrics for step in plain]
    assert torch.equal(run.weights(), other.weights())


def test_the_message_of_a_negative_kl_names_its_likely_causes():
    [violation] = GuardMonitor(GUARDS, 1).check(3, {**HEALTHY, "kl": -0.6}, NONE)
    assert "kl -0.6 is below -0.5 (step 3" in violation.message
    assert "in expectation cannot be" in violation.message
    assert "differ in temperature or allowed tokens" in violation.message


def test_a_score_of_length_makes_responses_stop_ending_and_violates_the_guard(run: Run):
    run.score = lambda prompts, responses: torch.tensor([float(len(response)) for response in responses])
    run.guards = GuardMonitor({"min_ended": Guard(0.2, "stop")}, 2)
    steps = run.steps(**{**COLLAPSE, "max_new_tokens": 5})
    assert steps[-1].metrics["score"] > steps[0].metrics["score"]
    assert steps[-1].metrics["length"] > steps[0].metrics["length"]
    assert steps[-1].violations[0].message.endswith(RULES["min_ended"][1])
    assert len(steps) < COLLAPSE["steps"]
