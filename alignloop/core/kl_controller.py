"""Controllers of the KL penalty coefficient: fixed, or steering KL to a target (arXiv 1909.08593, §2.2)."""

from dataclasses import dataclass


@dataclass
class FixedKl:
    """The coefficient never changes."""

    coef: float

    def update(self, kl_per_response_nats: float, responses: int) -> None:
        """Do nothing: the coefficient is fixed."""


@dataclass
class AdaptiveKl:
    """β ← β·(1 + e·n/horizon) with e = KL/target − 1, clipped to ±0.2.

    KL is in nats, summed over a response and averaged over n responses.
    """

    coef: float
    target_kl_per_response_nats: float
    horizon_responses: int

    def update(self, kl_per_response_nats: float, responses: int) -> None:
        """Adjust the coefficient after a batch of `responses` responses."""
        error = max(-0.2, min(0.2, kl_per_response_nats / self.target_kl_per_response_nats - 1))
        self.coef *= 1 + error * responses / self.horizon_responses
