"""Models sharded over the ranks (FSDP2): each rank holds a part of every weight, gradient and moment.

Each layer is a group of its own, and what is left of the model (embeddings, last norm, head) another: its
root. A layer's weights are whole while it computes, the root's from its first to its last use in a pass. The
core reads a model in pieces (trunk, head), so each piece runs as a forward method of the root.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from alignloop.core.ranks import Ranks
from alignloop.errors import AlignloopError

Over = Literal["full", "host"]
M = TypeVar("M", bound=nn.Module)
R = TypeVar("R")


class Shards:
    """The sharded models of this process.

    `over`: all ranks (`full`), or those of each host (`host`), which then has a whole copy of every model.
    """

    def __init__(self, ranks: Ranks, over: Over, device: str) -> None:
        self._mesh, self._ranks = _mesh(ranks, over, device), ranks
        self._roots: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()  # of each sharded module
        self._hollow: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()  # copies without weights

    def shard(self, model: M) -> M:
        """Shard a model in place, before an optimiser takes its weights; once is enough."""
        if model in self._roots:
            return model
        self._hollow[model] = _without_weights(model)
        for layer in model.modules():
            if isinstance(layer, GradientCheckpointingLayer):
                fully_shard(layer, mesh=self._mesh)
        root = cast(Any, fully_shard(model, mesh=self._mesh))
        root.compute = _call
        register_fsdp_forward_method(root, "compute")
        for part in model.modules():
            self._roots[part] = model
            if isinstance(part, FSDPModule):
                # losses are divided by the whole minibatch, so gradients are summed; gloo knows no scaled sum
                part.set_gradient_divide_factor(1.0)
                part.set_force_sum_reduction_for_comms(True)
        return model

    def read(self, part: nn.Module, work: Callable[[], R]) -> R:
        """What `work` reads of a part of a model, whose weights are there for it."""
        root = cast(Any, self._roots.get(part))
        if root is None:
            return work()
        found = root.compute(work)
        if not torch.is_grad_enabled():
            root.reshard()  # no backward pass does, and a later step would find these old weights
        return cast(R, found)

    @contextmanager
    def whole(self, model: nn.Module) -> Iterator[None]:
        """Hold all weights on every rank inside the block, where nothing waits for another rank."""
        parts = [part for part in model.modules() if isinstance(part, FSDPModule)]
        if parts:
            self._ranks.meet()
        for part in parts:
            part.unshard()
            part.set_reshard_after_forward(False, recurse=False)
        try:
            yield
        finally:
            for part in parts:
                part.set_reshard_after_forward(part is not model, recurse=False)
                part.reshard()

    def whole_copy(self, model: M) -> M:
        """A sharded model's copy, to be saved: every rank asks, rank 0 gets the weights.

        A model that is not sharded is returned itself. It may be a part of what was sharded.
        """
        root = self._roots.get(model)
        if root is None:
            return model
        hollow = copy.deepcopy(self._hollow[root])
        filled: dict[nn.Parameter, nn.Parameter] = {}
        self._ranks.meet()
        for empty, weight in zip(hollow.parameters(), root.parameters(), strict=True):
            full = cast(DTensor, weight.detach()).full_tensor()
            if self._ranks.rank == 0:
                filled[empty] = nn.Parameter(full.cpu(), weight.requires_grad)
        for part in hollow.modules():  # a tied weight is a parameter of several
            for name, empty in part.named_parameters(recurse=False):
                if empty in filled:
                    setattr(part, name, filled[empty])
        place = next(name for name, part in root.named_modules() if part is model)
        return cast(M, hollow.get_submodule(place))

    @staticmethod
    def own_part(value: Tensor, like: Tensor) -> Tensor:
        """This rank's part of a tensor that all ranks have, sharded as another one is."""
        if not isinstance(like, DTensor) or isinstance(value, DTensor):
            return value
        placed = value.to(like.device)
        return distribute_tensor(placed, like.device_mesh, like.placements, src_data_rank=None)


def _mesh(ranks: Ranks, over: Over, device: str) -> DeviceMesh:
    """All ranks in one row, or a row for each host. Raises AlignloopError where hosts have unequal rows."""
    if over == "full":
        return init_device_mesh(device, (ranks.size,))
    hosts = len(set(ranks.hosts))
    each = ranks.size // hosts
    rows = [ranks.hosts[start : start + each] for start in range(0, ranks.size, each)]
    if len(rows) != hosts or any(len(set(row)) > 1 for row in rows):
        raise AlignloopError(
            "compute.shard: host needs as many processes on each host, one host after another; these are on "
            f"{', '.join(ranks.hosts)}"
        )
    return init_device_mesh(device, (hosts, each), mesh_dim_names=("hosts", "ranks"))


def _call(work: Callable[[], R]) -> R:
    """Takes no tensor: FSDP would end the root's backward pass at the gradient of one."""
    return work()


def _without_weights(model: M) -> M:
    """A copy of a model whose weights have a shape and nothing in it."""
    memo: dict[int, Any] = {
        id(weight): nn.Parameter(weight.detach().to("meta"), weight.requires_grad)
        for weight in model.parameters()
    }
    return copy.deepcopy(model, memo)
