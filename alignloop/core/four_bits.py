"""Weights of four bits (NF4, QLoRA: arXiv 2305.14314) for linear layers that do not learn, by bitsandbytes.

A layer keeps half a byte for each weight and an fp32 scale for each BLOCK of them; a pass makes its numbers
from these and forgets them again. Embeddings, head, norms and adapters stay as they are.
"""

import importlib.util
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alignloop.errors import AlignloopError

BLOCK = 64  # weights that share a scale
KIND = "nf4"
LIBRARY = "bitsandbytes"
M = TypeVar("M", bound=nn.Module)


class FourBitsError(AlignloopError):
    """Weights cannot be kept in four bits; the message says why and what helps."""


def check_library() -> None:
    """Raise FourBitsError where the library for weights of four bits is not installed."""
    if importlib.util.find_spec(LIBRARY) is None:
        raise FourBitsError(
            f"compute.frozen_weights: 4bit needs {LIBRARY}, which is not installed; install the extra with "
            ".venv/bin/pip install -c constraints.txt -e '.[4bit]', or set compute.frozen_weights to whole"
        )


class FourBitLinear(nn.Linear):
    """A frozen linear layer; its `weight` is packed, two weights of four bits in a byte."""

    scales: Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, device="meta")
        from bitsandbytes.functional import quantize_4bit

        packed, state = quantize_4bit(
            layer.weight.detach().float().contiguous(), blocksize=BLOCK, quant_type=KIND
        )
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach(), requires_grad=False)
        self.register_buffer("scales", state.absmax, persistent=False)  # follows the layer to its device
        self.register_buffer("levels", state.code, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """The layer's output, in the precision of the pass."""
        from bitsandbytes.autograd._functions import matmul_4bit

        kind = input.device.type
        if torch.is_autocast_enabled(kind):
            input = input.to(torch.get_autocast_dtype(kind))
        bias = None if self.bias is None else self.bias.to(input.dtype)
        if self.in_features % BLOCK:
            product = cast(Tensor, _Product.apply(input, self))
            return product if bias is None else product + bias
        return matmul_4bit(input, self.weight, self._state(input.dtype), bias=bias)

    def whole_weight(self) -> Tensor:
        """The weight (out, in) in fp32, as passes read it."""
        from bitsandbytes.functional import dequantize_4bit

        # as one row: where a block spans two rows, bitsandbytes' kernel for AVX-512 takes a wrong scale
        flat = self._state(torch.float32, self.out_features * self.in_features)
        return dequantize_4bit(self.weight.detach(), flat).view(self.out_features, self.in_features)

    def _state(self, dtype: torch.dtype, *shape: int) -> Any:
        from bitsandbytes.functional import QuantState

        shape = torch.Size(shape or (self.out_features, self.in_features))
        return QuantState(
            self.scales, shape=shape, code=self.levels, blocksize=BLOCK, quant_type=KIND, dtype=dtype
        )


class _Product(torch.autograd.Function):
    """input · weightᵀ of a layer whose blocks span rows; the whole weight is made again for the gradient."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, layer: FourBitLinear) -> Tensor:
        ctx.layer = layer
        return nn.functional.linear(input, layer.whole_weight().to(input.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] @ ctx.layer.whole_weight().to(gradients[0].dtype), None


def to_four_bits(model: M) -> M:
    """Freeze a model and keep its linear layers in four bits, except for its head; returns the model.

    Raises FourBitsError where the library or a linear layer is missing.
    """
    check_library()
    head = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
    model.requires_grad_(False)
    changed = _replace(model, lambda layer: type(layer) is nn.Linear and layer is not head, FourBitLinear)
    if not changed:
        family = model.config.model_type if isinstance(model, PreTrainedModel) else type(model).__name__
        raise FourBitsError(
            f"{family}: this model family has no linear layers that can be kept in four bits; set "
            "compute.frozen_weights to whole"
        )
    for weight in model.parameters():  # what stays would keep the whole file of weights mapped
        weight.data = weight.data.clone()
    return model


def has_four_bits(model: nn.Module) -> bool:
    """Whether the model has layers of four bits."""
    return any(isinstance(part, FourBitLinear) for part in model.modules())


def to_whole(model: M) -> M:
    """Give the layers of four bits their numbers in fp32, in place; what four bits have lost stays lost."""
    _replace(model, lambda layer: isinstance(layer, FourBitLinear), _whole)
    return model


def _whole(layer: nn.Linear) -> nn.Linear:
    whole = nn.Linear(layer.in_features, layer.out_features, device="meta")
    whole.weight = nn.Parameter(cast(FourBitLinear, layer).whole_weight(), requires_grad=False)
    whole.bias = layer.bias
    return whole


def _replace(model: nn.Module, chosen: Any, make: Any) -> int:
    """Put what `make` makes of each `chosen` layer in its place; one at a time, so that memory follows."""
    count = 0
    for part in model.modules():
        for name, layer in list(part.named_children()):
            if chosen(layer):
                setattr(part, name, make(layer).train(layer.training))
                count += 1
    return count
