"""Whether a reward model has learned anything at all."""

from math import sqrt


def at_chance(accuracy: float | None, pairs: int) -> bool:
    """Whether an accuracy on so many pairs is within two standard errors of a half, or below."""
    return accuracy is not None and accuracy <= 0.5 + 2 * sqrt(0.25 / pairs)
