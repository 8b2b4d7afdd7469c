"""What a training knows between two steps, as nested mappings and lists of tensors and plain values: enough to go on bit by bit elsewhere.

Whoever trains has `state()`, and `restore(state)` before its first step. Tensors may be those in use: write them down before the next step.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

State = Mapping[str, Any]


class Stateful(Protocol):
    """Something that can be left after any step and continued, by another process, as if it had never been left."""

    def state(self) -> State: ...

    def restore(self, state: State) -> None: ...


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The weights that learn, tied ones once: what is frozen comes back from where it came."""
    return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}


def put_weights(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a model the weights that `weights_of` took from its like."""
    learning = weights_of(model)
    if learning.keys() != state.keys():
        raise ValueError(
            f"the model learns {len(learning)} tensors, the state holds {len(state)}: they do not belong together"
        )
    copy_all(learning.values(), [state[name] for name in learning])


def copy_all(tensors: Iterable[Tensor], values: Sequence[Tensor]) -> None:
    """Copy values into tensors of the same shapes, in place."""
    with torch.no_grad():
        for tensor, value in zip(tensors, values, strict=True):
            tensor.copy_(value)


def moments_of(optimiser: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """What an optimiser remembers of each weight, by its place; learning rates are no state: the schedule gives them at every step."""
    return {str(place): dict(moments) for place, moments in optimiser.state_dict()["state"].items()}


def put_moments(optimiser: torch.optim.Optimizer, state: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Give an optimiser the moments that `moments_of` took from its like."""
    moments = {int(place): dict(of_weight) for place, of_weight in state.items()}
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})


def draws_of(random: np.random.Generator) -> Any:
    """Where a random generator stands."""
    return random.bit_generator.state


def put_draws(random: np.random.Generator, state: Any) -> None:
    """Let a random generator go on from where another stood."""
    random.bit_generator.state = state
