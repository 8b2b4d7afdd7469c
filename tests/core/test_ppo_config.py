"""PPO values that contradict each other are refused by their names in params.yaml."""

from dataclasses import replace
from typing import Any

import pytest

from alignloop.errors import AlignloopError
from tests.core.bandit import CONFIG


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minibatches": 33}, r"ppo.minibatches \(33\) exceeds ppo.prompts_per_step \(32\)"),
        (
            {"minibatches": 65, "responses_per_prompt": 2},
            r"ppo.minibatches \(65\) exceeds ppo.prompts_per_step x .* \(64\)",
        ),
        (
            {"advantages": "rloo"},
            "rloo compares responses to one prompt; raise ppo.responses_per_prompt to 2",
        ),
        (
            {"advantages": "grpo", "responses_per_prompt": 2, "value_warmup_steps": 1},
            "set ppo.value_warmup_steps to 0",
        ),
        (
            {"advantages": "rloo", "responses_per_prompt": 2, "whiten_rewards": True},
            "ppo.whiten_rewards to false",
        ),
    ],
)
def test_contradictions_are_refused_by_name(changes: dict[str, Any], message: str):
    with pytest.raises(AlignloopError, match=message):
        replace(CONFIG, **changes)


def test_as_many_minibatches_as_responses_are_allowed():
    assert replace(CONFIG, minibatches=64, responses_per_prompt=2).minibatches == 64
