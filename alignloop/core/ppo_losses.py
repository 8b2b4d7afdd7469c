"""The losses of PPO: the clipped policy loss and the clipped value loss.

Per-token losses are sums, not means: the gradients of the parts of a batch add up to that of the whole batch.
"""

import torch
from torch import Tensor


def policy_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip: float, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate loss (arXiv 1707.06347, eq. 7), summed over N tokens, and who is clipped (N,).

    `logprobs`, `old_logprobs` and `advantages` are (N,), and so are the importance `weights` of tokens that
    a sampler apart from the policy drew (`core/sampler.py`).
    """
    ratio = torch.exp(logprobs - old_logprobs)
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    losses = torch.maximum(plain, clipped)
    return (losses if weights is None else weights * losses).sum(), clipped > plain


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """Clipped value loss, summed over N tokens, and the clipped tokens (N,).

    Per token it is ½·max((v − R)², (v_clipped − R)²), where v_clipped stays within `clip` of the old value
    (as in OpenAI's lm-human-preferences). All inputs are (N,).
    """
    moved = values - old_values
    near = old_values + moved.clamp(-clip, clip)
    plain, clipped = (values - returns) ** 2, (near - returns) ** 2
    # `near` also differs by rounding, so compare the move itself
    held = (clipped > plain) & (moved.abs() > clip)
    return 0.5 * torch.maximum(plain, clipped).sum(), held
