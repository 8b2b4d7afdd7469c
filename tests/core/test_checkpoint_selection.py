"""Checkpoint selection keeps the best weights, and can be resumed."""

import torch
from torch import nn

from alignloop.core.checkpoint_selection import BestWeights, check_steps


def at(model: nn.Linear, value: float) -> None:
    with torch.no_grad():
        model.weight.fill_(value)


def test_checks_are_evenly_spread_and_end_with_the_last_step():
    assert check_steps(100, 4) == {25, 50, 75, 100}
    assert check_steps(7, 1) == {7}
    assert check_steps(2, 5) == {1, 2}


def test_the_best_weights_are_loaded_and_of_equally_good_ones_the_earliest():
    model = nn.Linear(1, 1)
    best = BestWeights(model)
    for step, metric in ((1, 0.1), (2, 0.5), (3, 0.5), (4, -1.0)):
        at(model, step)
        best.update(step, metric)
    assert best.load_best() == 2
    assert model.weight.item() == 2


def test_a_selection_resumes_from_its_state():
    model, other = nn.Linear(1, 1), nn.Linear(1, 1)
    one, two = BestWeights(model), BestWeights(other)
    at(model, 7)
    one.update(3, 0.5)
    two.restore(one.state())
    at(other, 9)
    two.update(4, 0.4)
    assert two.load_best() == 3
    assert other.weight.item() == 7
