"""What lets a larger model fit: activations in bf16 while weights stay fp32, and activations computed twice instead of kept."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from alignloop.errors import AlignloopError

Precision = Literal["fp32", "bf16"]


def precise(precision: Precision, device: torch.device) -> torch.autocast:
    """Inside the block matrix products are made in this precision; weights, gradients, optimiser and log-probabilities stay fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def recompute_activations(model: PreTrainedModel) -> None:
    """For the gradient keep only what enters each layer, and run the layer again; no number changes (arXiv 1604.06174).

    transformers' own switch works in training mode only, which would bring dropout back.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    if not layers:
        raise AlignloopError(
            f"{model.config.model_type}: the layers of this family cannot be computed again; set ppo.gradient_checkpointing to false"
        )
    for layer in layers:
        layer.forward = partial(_twice, layer.forward)


def _twice(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(
        forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs
    )  # nothing draws: no dropout anywhere
