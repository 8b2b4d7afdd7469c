"""The vocabulary head, on a bounded number of tokens at a time.

A pass of N tokens has N × V logits, and as many gradients: 16,384 tokens of a vocabulary of 151,936 are 10 GB
in fp32. What is read from them (a loss, a log-probability) is small. With a limit on the head's tokens, the
logits of one part exist at a time, and are computed again in the backward pass (arXiv 1604.06174).
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from alignloop.core import pass_limits
from alignloop.core.models import logits_of

R = TypeVar("R")


def read_logits(
    model: PreTrainedModel, states: Tensor, targets: Tensor, read: Callable[[Tensor, Tensor], R]
) -> list[R]:
    """`read(logits (n, V), targets (n,))` of each part of the last hidden states (N, H) and targets (N,).

    A part has at most `head_tokens` tokens (`pass_limits`); without that limit there is one part.
    """

    def of_part(part: Tensor, part_targets: Tensor) -> R:
        return read(logits_of(model, part), part_targets)

    targets = targets.to(states.device)
    limit = pass_limits.current().head_tokens
    if limit is None or len(states) <= limit:
        return [of_part(states, targets)]
    parts = zip(states.split(limit), targets.split(limit), strict=True)
    if not torch.is_grad_enabled():
        return [of_part(*part) for part in parts]
    # no random state to preserve: dropout is off everywhere
    return [checkpoint(of_part, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]
