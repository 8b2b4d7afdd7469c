"""PPO resumed after any step gives the same weights, metrics, rollouts and guards, to the bit."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from alignloop.core.guards import Guard, GuardMonitor, Strength
from alignloop.core.kl_controller import AdaptiveKl
from alignloop.core.lora import add_adapters
from alignloop.core.ppo import Step, Trainer
from alignloop.core.tokens import Encoded
from tests.core.bandit import CONFIG, Run

SIZES: dict[str, Any] = {
    "steps": 4,
    "prompts_per_step": 12,
    "max_new_tokens": 3,
    "ptx_coef": 1.0,
    "ptx_documents_per_step": 4,
}
ALL = replace(CONFIG, **SIZES, epochs=2, ema_decay=0.8, learning_rate=1e-2, missing_eos_score=None)


def full_trainer(run: Run, seed: int, strength: Strength = "warn", adapted: bool = False) -> Trainer:
    """A run with every stateful feature on; the number of prompts is no multiple of a step's.

    `adapted`: policy and value model learn by adapters.
    """
    if adapted:
        add_adapters(run.policy, rank=4, alpha=8, seed=3)
        add_adapters(run.value.trunk, rank=4, alpha=8, seed=4)

    def other_letter(prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> Tensor:
        return torch.tensor([float(response[0] == run.letters[1]) for response in responses])

    run.ptx = [Encoded([9, 30, 40, 1], [True] * 4), Encoded([9, 50, 1], [True] * 3)]
    run.controller = AdaptiveKl(0.05, 0.5, 100)
    run.guards = GuardMonitor(
        {"max_kl_per_response_nats": Guard(0.02, strength), "max_held_out_fall": Guard(5.0, "stop")},
        2,
        other_letter,
    )
    return run.trainer(ALL, np.random.default_rng(seed), torch.Generator().manual_seed(seed))


def summary(steps: Sequence[Step]) -> list[Any]:
    return [
        (step.number, step.metrics, step.rollouts.prompts, step.rollouts.responses, step.violations)
        for step in steps
    ]


def weights(run: Run) -> bytes:
    return b"".join(
        weight.detach().numpy().tobytes()
        for model in (run.policy, run.value)
        for weight in model.parameters()
    )


@pytest.mark.parametrize(
    ("left_after", "strength", "adapted"),
    [(1, "warn", False), (4, "warn", False), (2, "stop", False), (2, "warn", True)],
)
def test_ppo_resumed_after_a_step_ends_at_the_same_bits(
    run: Run, other: Run, left_after: int, strength: Strength, adapted: bool
):
    """With adaptive KL, guard windows, the best policy, averaged weights, both optimisers and both
    generators.
    """
    states, whole = [], full_trainer(run, 0, strength, adapted)
    steps = []
    for step in whole:
        steps.append(step)
        states.append(copy.deepcopy(whole.state()))
    assert len(steps) == (4 if strength == "warn" else 2), "a stop is part of the state"
    assert steps[-1].metrics["kl_coef"] != 0.05
    assert whole.guards
    assert whole.guards.first_violations == {"max_kl_per_response_nats": 2}

    learning = states[0]["weights"]["value"]
    assert all(".lora_" in name or "head." in name for name in learning) == adapted, "frozen weights are not"
    continued = full_trainer(other, 99, adapted=adapted)  # its own seed does not matter
    continued.restore(states[left_after - 1])
    assert summary(list(continued)) == summary(steps[left_after:])
    assert weights(other) == weights(run)
    assert continued.guards
    assert continued.guards.first_violations == whole.guards.first_violations
    assert torch.equal(continued.generator.get_state(), whole.generator.get_state())
