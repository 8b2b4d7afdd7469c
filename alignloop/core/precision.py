"""The precision of this process's passes: fp32, or bf16 for the products of matrices.

Weights that learn, gradients, the optimiser's state, losses, log-probabilities and scores are fp32 always.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, TypeVar

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

Precision = Literal["fp32", "bf16"]
M = TypeVar("M", bound=nn.Module)
_precision: Precision = "fp32"


def use(precision: Precision) -> None:
    """Set the precision of this process's passes."""
    global _precision
    _precision = precision


def current() -> Precision:
    """The precision of this process's passes."""
    return _precision


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Compute as a pass does inside the block."""
    return torch.autocast(device.type, torch.bfloat16) if _precision == "bf16" else nullcontext()


def freeze(model: M) -> M:
    """Let no weight of the model learn; those of its linear layers are kept in the precision of passes.

    A pass rounds them to it anyway, so no result changes, and bf16 takes half the memory. A head that is the
    embedding too stays fp32: an embedding is read, not multiplied. Returns the model.
    """
    model.requires_grad_(False)
    if _precision == "bf16":
        read = {id(layer.weight) for layer in model.modules() if isinstance(layer, nn.Embedding)}
        for layer in model.modules():
            packed = not layer.weight.is_floating_point() if isinstance(layer, nn.Linear) else False
            if isinstance(layer, nn.Linear | Conv1D) and not packed and id(layer.weight) not in read:
                layer.weight.data = layer.weight.data.to(torch.bfloat16)
        for weight in model.parameters():
            if weight.dtype == torch.float32:  # what stays would keep the whole file of weights mapped
                weight.data = weight.data.clone()
    return model
