"""The two controllers of the KL penalty's coefficient: one that stays, one that steers KL to a target (arXiv 1909.08593, §2.2)."""

from dataclasses import dataclass


@dataclass
class FixedKl:
    """The coefficient never changes."""

    coef: float

    def update(self, kl_per_response_nats: float, responses: int) -> None:
        """Nothing to learn from."""


@dataclass
class AdaptiveKl:
    """β ← β·(1 + e·n/horizon) with e = KL/target − 1 held within ±0.2; KL in nats, summed over a response, mean over n responses."""

    coef: float
    target_kl_per_response_nats: float
    horizon_responses: int

    def update(self, kl_per_response_nats: float, responses: int) -> None:
        """Move the coefficient after a batch of `responses`."""
        error = max(-0.2, min(0.2, kl_per_response_nats / self.target_kl_per_response_nats - 1))
        self.coef *= 1 + error * responses / self.horizon_responses
