"""Where the weights of this process's models are: on a device, and perhaps sharded over several processes.

Tables stay on the CPU; only a pass knows a device.

A pass moves its ids to the device of its model, and what it computes (losses, log-probabilities, scores,
drawn tokens) back to the CPU, with its gradient.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from torch import Tensor, nn

from alignloop.errors import AlignloopError

if TYPE_CHECKING:  # brings torch.distributed, which one process does without
    from alignloop.core.sharding import Shards

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
M = TypeVar("M", bound=nn.Module)
R = TypeVar("R")
_device = torch.device("cpu")
_shards: "Shards | None" = None


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


def use_shards(shards: "Shards | None") -> None:
    """Let `shard` shard models from now on; None: they are whole."""
    global _shards
    _shards = shards


def shard(model: M) -> M:
    """The model, sharded in place where this process shards models: before an optimiser takes its weights."""
    return model if _shards is None else _shards.shard(model)


def read(part: nn.Module, work: Callable[[], R]) -> R:
    """What `work` reads of a model's part; the weights of a sharded model are there for it."""
    return work() if _shards is None else _shards.read(part, work)


def whole(model: nn.Module) -> AbstractContextManager[None]:
    """Hold all of a model's weights inside the block; of a sharded one every rank has to ask."""
    return nullcontext() if _shards is None else _shards.whole(model)


def whole_copy(model: M) -> M:
    """A model to be saved: of a sharded one a copy, with weights on rank 0; every rank has to ask."""
    return model if _shards is None else _shards.whole_copy(model)


def own_part(value: Tensor, like: Tensor) -> Tensor:
    """A value for a tensor of the same shape: where that one is sharded, this rank's part."""
    return value if _shards is None else _shards.own_part(value, like)


def current() -> torch.device:
    """The device on which this process's models are placed."""
    return _device


def place(model: M) -> M:
    """The model, moved to this process's device."""
    return model.to(_device)


def of(model: nn.Module) -> torch.device:
    """The device of a model's weights."""
    return next(model.parameters()).device
