"""Training state between two steps: enough for another process to resume with bit-identical results.

A state consists of nested mappings and lists of tensors and plain values. Its tensors may be the ones in
use, so write them before the next step. `restore` is called before the first step.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from alignloop.core import devices

State = Mapping[str, Any]


class Stateful(Protocol):
    """A training that another process can resume after any step as if there had been no interruption."""

    def state(self) -> State: ...

    def restore(self, state: State) -> None: ...


def whole(tensor: Tensor) -> Tensor:
    """The tensor itself; of a sharded one all of it, for which every rank has to ask."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def own(tensor: Tensor) -> Tensor:
    """The tensor itself; of a sharded one what this rank holds, without asking another."""
    part = getattr(tensor, "to_local", None)
    return tensor if part is None else part()


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The trainable weights by name, tied ones once; frozen weights are loaded from where they came from."""
    return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}


def put_weights(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load what `weights_of` returned for the same architecture. Raises ValueError otherwise."""
    trainable = weights_of(model)
    if trainable.keys() != state.keys():
        raise ValueError(
            f"the model trains {len(trainable)} tensors, the state has {len(state)}: they do not belong "
            "together"
        )
    copy_all(trainable.values(), [state[name] for name in trainable])


def copy_all(tensors: Iterable[Tensor], values: Sequence[Tensor]) -> None:
    """Copy values into tensors of the same shapes, in place."""
    with torch.no_grad():
        for tensor, value in zip(tensors, values, strict=True):
            tensor.copy_(devices.own_part(value, tensor))


def moments_of(optimiser: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """An optimiser's moments of each weight, by the weight's index; learning rates come from the schedule."""
    return {str(place): dict(moments) for place, moments in optimiser.state_dict()["state"].items()}


def put_moments(optimiser: torch.optim.Optimizer, state: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Load moments that `moments_of` returned for an optimiser of the same weights."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    moments = {
        int(place): {
            name: devices.own_part(moment, weights[int(place)]) if moment.dim() else moment
            for name, moment in of_weight.items()
        }
        for place, of_weight in state.items()
    }
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})


def random_state_of(random: np.random.Generator) -> Any:
    """The state of a random number generator."""
    return random.bit_generator.state


def put_random_state(random: np.random.Generator, state: Any) -> None:
    """Set the state of a random number generator."""
    random.bit_generator.state = state
