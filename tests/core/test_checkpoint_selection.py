"""The weights that did best are the ones kept, and a choice goes on elsewhere."""

import torch
from torch import nn

from alignloop.core.checkpoint_selection import Choice, check_steps


def at(model: nn.Linear, value: float) -> None:
    with torch.no_grad():
        model.weight.fill_(value)


def test_checks_are_evenly_spread_and_end_with_the_last_step():
    assert check_steps(100, 4) == {25, 50, 75, 100}
    assert check_steps(7, 1) == {7}
    assert check_steps(2, 5) == {1, 2}


def test_the_best_weights_come_back_and_of_equals_the_earliest():
    model = nn.Linear(1, 1)
    choice = Choice(model)
    for step, worth in ((1, 0.1), (2, 0.5), (3, 0.5), (4, -1.0)):
        at(model, step)
        choice.see(step, worth)
    assert choice.take() == 2
    assert model.weight.item() == 2


def test_a_choice_goes_on_from_its_state():
    model, other = nn.Linear(1, 1), nn.Linear(1, 1)
    one, two = Choice(model), Choice(other)
    at(model, 7)
    one.see(3, 0.5)
    two.restore(one.state())
    at(other, 9)
    two.see(4, 0.4)
    assert two.take() == 3
    assert other.weight.item() == 7
