"""The limits of a forward pass in this process: its tokens, and how many of them have logits at a time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PassLimits:
    """Both in tokens. A pass of a small model should fit a CPU core's cache; on a GPU, larger is faster."""

    tokens: int = 384  # padded: rows × longest row
    head_tokens: int | None = None  # None: all of a pass


_limits = PassLimits()


def use(limits: PassLimits) -> None:
    """Set the limits of this process."""
    global _limits
    _limits = limits


def current() -> PassLimits:
    """The limits of this process."""
    return _limits
