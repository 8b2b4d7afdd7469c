"""PPO left after any step and restored elsewhere ends as if it had never been left: weights, numbers, rollouts, guards, to the bit."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from alignloop.core.guards import Guard, Strength, Watch
from alignloop.core.kl_controller import AdaptiveKl
from alignloop.core.ppo import Step, Trainer
from alignloop.core.tokens import Encoded
from tests.core.bandit import SETTINGS, Run

SIZES: dict[str, Any] = {
    "steps": 4,
    "prompts_per_step": 12,
    "max_new_tokens": 3,
    "ptx_coef": 1.0,
    "ptx_documents_per_step": 4,
}
ALL = replace(SETTINGS, **SIZES, epochs=2, ema_decay=0.8, learning_rate=1e-2, missing_eos_score=None)


def trainer(run: Run, seed: int, strength: Strength = "warn") -> Trainer:
    """A run with everything on that has a memory; its prompts do not divide into steps."""

    def other_letter(prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> Tensor:
        return torch.tensor([float(response[0] == run.letters[1]) for response in responses])

    run.ptx = [Encoded([9, 30, 40, 1], [True] * 4), Encoded([9, 50, 1], [True] * 3)]
    run.controller = AdaptiveKl(0.05, 0.5, 100)
    run.watch = Watch(
        {"max_kl_per_response_nats": Guard(0.02, strength), "max_held_out_fall": Guard(5.0, "stop")},
        2,
        other_letter,
    )
    return run.train(ALL, np.random.default_rng(seed), torch.Generator().manual_seed(seed))


def told(steps: Sequence[Step]) -> list[Any]:
    return [
        (step.number, step.metrics, step.rollouts.prompts, step.rollouts.responses, step.trips)
        for step in steps
    ]


def weights(run: Run) -> bytes:
    return b"".join(
        weight.detach().numpy().tobytes()
        for model in (run.policy, run.value)
        for weight in model.parameters()
    )


@pytest.mark.parametrize(("left_after", "strength"), [(1, "warn"), (4, "warn"), (2, "stop")])
def test_ppo_left_after_a_step_goes_on_elsewhere_to_the_same_bits(
    run: Run, other: Run, left_after: int, strength: Strength
):
    """With adaptive KL, guards with their windows and best policy, average weights, both optimisers and both generators."""
    states, whole = [], trainer(run, 0, strength)
    steps = []
    for step in whole:
        steps.append(step)
        states.append(copy.deepcopy(whole.state()))
    assert len(steps) == (4 if strength == "warn" else 2), "a stop is part of what is left"
    assert steps[-1].metrics["kl_coef"] != 0.05
    assert whole.watch
    assert whole.watch.first == {"max_kl_per_response_nats": 2}

    continued = trainer(other, 99)  # whatever it would have drawn itself
    continued.restore(states[left_after - 1])
    assert told(list(continued)) == told(steps[left_after:])
    assert weights(other) == weights(run)
    assert continued.watch
    assert continued.watch.first == whole.watch.first
    assert torch.equal(continued.generator.get_state(), whole.generator.get_state())
