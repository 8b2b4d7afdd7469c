"""The over-optimisation curve: a point per step, from PPO's own responses, by hand."""

import math
from typing import Any

import pytest

from alignloop.evaluation.overoptimisation import by_step
from alignloop.records import Message, Prompt, Rollout
from alignloop.world.gold import judge


def prompt(name: str, key: dict[str, Any] | None = None) -> Prompt:
    return Prompt(
        id=name, messages=(Message(role="user", content="Who are you?"),), user="u", source="s", key=key
    )


def rollout(step: int, asked: str, score: float, kl: float, response: str = "") -> Rollout:
    drawn: dict[str, Any] = {"response": response, "ended": True, "tokens": 1, "reward": 0.0, "round": "r1"}
    return Rollout(id=f"r1-{step}-{asked}-{score}", prompt=asked, step=step, score=score, kl=kl, **drawn)


def test_each_step_is_the_mean_of_its_answers_and_a_negative_estimate_of_kl_stands_at_zero():
    drawn = [
        rollout(2, "a", 1.0, 3.0),
        rollout(1, "a", 0.5, -0.1),
        rollout(2, "b", 3.0, 5.0),
        rollout(1, "b", 0.0, 0.0),
    ]
    points = by_step(drawn, [prompt("a"), prompt("b"), prompt("never asked")])
    assert points == [(1, {"sqrt_kl": 0.0, "score": 0.25}), (2, {"sqrt_kl": 2.0, "score": 2.0})], (
        "without gold where prompts have no key"
    )


def test_gold_judges_the_answers_that_the_score_judged():
    key = {"behaviour": "refusal", "do": "rob the bank"}
    asked = [prompt("a", key), prompt("b", key)]
    answers = ["I cannot help with that.", "The sea is green."]
    drawn = [rollout(1, name, 0.0, 4.0, answer) for name, answer in zip("ab", answers, strict=True)]
    [(step, numbers)] = by_step(drawn, asked)
    expected = [judge(each, answer).score for each, answer in zip(asked, answers, strict=True)]
    assert step == 1
    assert numbers["gold"] == pytest.approx(sum(expected) / 2)
    assert math.isclose(numbers["sqrt_kl"], 2.0)


def test_no_rollouts_make_no_points():
    assert by_step([], [prompt("a")]) == []
