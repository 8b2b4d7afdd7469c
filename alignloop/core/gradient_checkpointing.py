"""Gradient checkpointing: activations are computed twice instead of kept."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from alignloop.errors import AlignloopError


def recompute_activations(model: PreTrainedModel) -> None:
    """Gradient checkpointing: keep only each layer's input and compute the layer again in the backward pass.

    No result changes (arXiv 1604.06174). transformers' own switch works in training mode only, which would
    also switch dropout on.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    if not layers:
        raise AlignloopError(
            f"{model.config.model_type}: this model family does not support gradient checkpointing; "
            "set compute.gradient_checkpointing to false"
        )
    for layer in layers:
        layer.forward = partial(_checkpointed, layer.forward)


def _checkpointed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    # no random state to preserve: dropout is off everywhere
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
