"""Memory savings for larger models: bf16 activations with fp32 weights, and gradient checkpointing."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from alignloop.errors import AlignloopError

Precision = Literal["fp32", "bf16"]


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Compute matrix products in this precision inside the block.

    Weights, gradients, optimiser state and log-probabilities stay fp32.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def recompute_activations(model: PreTrainedModel) -> None:
    """Gradient checkpointing: keep only each layer's input and compute the layer again in the backward pass.

    No result changes (arXiv 1604.06174). transformers' own switch works in training mode only, which would
    also switch dropout on.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    if not layers:
        raise AlignloopError(
            f"{model.config.model_type}: this model family does not support gradient checkpointing; "
            "set ppo.gradient_checkpointing to false"
        )
    for layer in layers:
        layer.forward = partial(_checkpointed, layer.forward)


def _checkpointed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    # no random state to preserve: dropout is off everywhere
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
