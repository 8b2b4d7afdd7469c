"""The language-model loss of pretraining, SFT and PPO-ptx.

Per-token losses are sums, not means: the gradients of the parts of a batch add up to that of the whole batch.
"""

from torch import Tensor
from torch.nn import functional


def language_model_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Summed cross-entropy in nats of targets (N,) under logits (N, V)."""
    return functional.cross_entropy(logits.float(), targets, reduction="sum")
