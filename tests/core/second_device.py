"""A second device where there is none: its tensors say that they are on `gpu`, and are computed on the CPU.

As on a real one, an operator that meets tensors of both devices fails, except for copies from one to the
other, CPU tensors of one element, and CPU indices. No kernel of a GPU is tested by this; that every tensor of
a pass is where it should be is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.utils.backend_registration
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from alignloop.core import devices

setup: Any = vars(torch.utils.backend_registration)["_setup_privateuseone_for_python_backend"]
setup("gpu")  # once in a process
vars(torch)["gpu"].get_amp_supported_dtype = lambda: [torch.bfloat16]
GPU = torch.device("gpu", 0)
aten: Any = torch.ops.aten
COPIES = {aten.copy_, aten._to_copy}
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index}
MATH = 0  # the backend of attention that needs no kernel of its own


class OnDevice(torch.Tensor):
    """A tensor that says it is on the second device, around one on the CPU."""

    _on_cpu: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OnDevice":
        made = torch.Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=GPU,
            requires_grad=False,
        )
        made._on_cpu = inner
        return made

    def __repr__(self, **_: Any) -> str:
        return f"OnDevice({self._on_cpu!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatch(func, args, kwargs or {})


class SecondDevice(TorchDispatchMode):
    """Inside it, tensors that are made on `gpu` or moved there are on the second device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatch(func, args, kwargs or {})


def _dispatch(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    found = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
    here = [each for each in found if isinstance(each, OnDevice)]
    packet, to = func.overloadpacket, kwargs.get("device")
    if packet is aten._fused_sdp_choice:
        return MATH
    if here and packet not in COPIES:
        _refuse_mixture(func, packet, args, found)
    if to is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    out = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if func._schema.is_mutable and here:
        return args[0] if isinstance(out, Tensor) else out  # in place: the tensor itself
    on_device = torch.device(to).type == "gpu" if to is not None else bool(here)
    if packet is aten.copy_:
        return args[0]
    return tree_map(_outer, out) if on_device else out


def _outer(value: Any) -> Any:
    return OnDevice(value) if isinstance(value, Tensor) else value


def _inner(value: Any) -> Any:
    return value._on_cpu if isinstance(value, OnDevice) else value


def _refuse_mixture(func: Any, packet: Any, args: Any, found: list[Tensor]) -> None:
    if packet in INDEXED:  # the indices of a tensor on the device may be on the CPU
        found = [args[0], *(args[2:] if packet is not aten.index else ())]
    alien = [each for each in found if isinstance(each, Tensor) and not isinstance(each, OnDevice)]
    if any(each.dim() > 0 for each in alien):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, but found gpu and cpu")


@contextmanager
def second_device(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Place this process's models on the second device inside the block."""
    patch.setattr(devices, "_device", GPU)
    swapped = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)  # else tied weights are two after a move
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(…, device=…): made on the CPU, then moved
    try:
        with SecondDevice():
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_swap_module_params_on_conversion(swapped)


def on_cpu(tensor: Tensor) -> Tensor:
    """The tensor's values."""
    return _inner(tensor)
