"""The device of this process's models. Tables stay on the CPU; only a pass knows a device.

A pass moves its ids to the device of its model, and what it computes (losses, log-probabilities, scores,
drawn tokens) back to the CPU, with its gradient.
"""

from typing import Literal, TypeVar

import torch
from torch import nn

from alignloop.errors import AlignloopError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
M = TypeVar("M", bound=nn.Module)
_device = torch.device("cpu")


def use(name: DeviceName) -> None:
    """Set the device on which this process's models are placed. Raises AlignloopError if it is not there."""
    global _device
    _device = find(name)


def use_number(place: int) -> None:
    """Let the process that has this place on its host, from 0, use a GPU of its own, if there are any."""
    if torch.cuda.is_available():
        torch.cuda.set_device(place % torch.cuda.device_count())


def find(name: DeviceName) -> torch.device:
    """The device of this name; `auto`: a GPU if there is one. Raises AlignloopError if it is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, found in there.items() if found))
    if not there[name]:
        raise AlignloopError(
            f"compute.device: {name}, but PyTorch {torch.__version__} finds no such device here; install a "
            "PyTorch that is built for it, or set compute.device: auto"
        )
    return torch.device(name)


def current() -> torch.device:
    """The device on which this process's models are placed."""
    return _device


def place(model: M) -> M:
    """The model, moved to this process's device."""
    return model.to(_device)


def of(model: nn.Module) -> torch.device:
    """The device of a model's weights."""
    return next(model.parameters()).device
