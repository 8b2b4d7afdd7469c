"""The law L = E + A/N^α + B/D^β of a loss in weights N and tokens D (arXiv 2203.15556, approach 3).

Fitted to the logarithm of the loss by Huber's loss from several starts, as there. The intervals are of a
bootstrap over residuals: cells keep their N and D, and their residuals are drawn again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

HUBER = 1e-3  # of the logarithm of the loss, from which on a residual counts linearly
_STARTS = tuple((a, b) for a in (0.3, 0.6, 1.0) for b in (0.3, 0.6, 1.0))  # α and β


@dataclass(frozen=True)
class Law:
    """L = E + A/N^α + B/D^β; `frontier` is the exponent of the least loss in compute C = 6·N·D."""

    floor: float  # E, nats per token
    a: float
    b: float
    alpha: float
    beta: float

    @property
    def frontier(self) -> float:
        """γ of E + K/C^γ, where N and D are chosen for the least loss at C: α·β/(α + β)."""
        return self.alpha * self.beta / (self.alpha + self.beta)

    def loss(self, weights: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """The loss in nats per token of models with so many weights after so many tokens."""
        return self.floor + self.a / weights**self.alpha + self.b / tokens**self.beta

    def least_loss(self, compute: np.ndarray) -> np.ndarray:
        """The least loss at 6·N·D = `compute` FLOPs, over all N."""
        share = self.alpha * self.a / (self.beta * self.b)
        weights = (share * (compute / 6) ** self.beta) ** (1 / (self.alpha + self.beta))
        return self.loss(weights, compute / 6 / weights)


def fit(weights: Sequence[float], tokens: Sequence[float], losses: Sequence[float]) -> Law:
    """The law of cells with these weights, tokens and losses; at least two sizes and two budgets."""
    found = min((_fit(start, weights, tokens, losses) for start in _STARTS), key=lambda each: each[1])
    return found[0]


def intervals(
    weights: Sequence[float], tokens: Sequence[float], losses: Sequence[float], draws: int, seed: int
) -> dict[str, tuple[float, float, float]]:
    """Each number of the law with its 95 % interval, from `draws` bootstraps over residuals."""
    law = fit(weights, tokens, losses)
    expected = np.log(law.loss(np.array(weights), np.array(tokens)))
    # a fit of p numbers to n cells leaves residuals that are too small by √((n − p)/n)
    residuals = (np.log(losses) - expected) * np.sqrt(len(losses) / max(1, len(losses) - 5))
    random = np.random.default_rng(seed)
    start = (law.alpha, law.beta)
    again = [
        _fit(start, weights, tokens, np.exp(expected + random.choice(residuals, len(losses))), law)[0]
        for _ in range(draws)
    ]
    names = ("floor", "alpha", "beta", "frontier")
    ends = {name: np.percentile([getattr(each, name) for each in again], [2.5, 97.5]) for name in names}
    return {name: (getattr(law, name), float(ends[name][0]), float(ends[name][1])) for name in names}


def _fit(
    start: tuple[float, float],
    weights: Sequence[float],
    tokens: Sequence[float],
    losses: Sequence[float] | np.ndarray,
    known: Law | None = None,
) -> tuple[Law, float]:
    """A law found from a start, and its cost."""
    size, data, target = np.log(weights), np.log(tokens), np.log(losses)

    def law(numbers: np.ndarray) -> Law:
        floor, a, b, alpha, beta = np.exp(numbers)
        return Law(float(floor), float(a), float(b), float(alpha), float(beta))

    def terms(numbers: np.ndarray) -> np.ndarray:
        """The logarithms of the three terms of each cell (3, n)."""
        floor, a, b = numbers[:3]
        alpha, beta = np.exp(numbers[3:])
        return np.stack([np.full_like(size, floor), a - alpha * size, b - beta * data])

    def residuals(numbers: np.ndarray) -> np.ndarray:
        return np.logaddexp.reduce(terms(numbers)) - target

    def slopes(numbers: np.ndarray) -> np.ndarray:
        """The derivatives of the residuals (n, 5)."""
        parts = terms(numbers)
        shares = np.exp(parts - np.logaddexp.reduce(parts))
        alpha, beta = np.exp(numbers[3:])
        return np.stack([*shares, -alpha * size * shares[1], -beta * data * shares[2]], axis=1)

    alpha, beta = start
    if known:
        first = np.log([known.floor, known.a, known.b, known.alpha, known.beta])
    else:
        least, spread = float(np.min(losses)), float(np.ptp(losses)) + 1e-6
        first = np.log([0.8 * least, spread, spread, alpha, beta])
        first[1] += alpha * size.min()
        first[2] += beta * data.min()
    found = least_squares(
        residuals,
        first,
        slopes,  # pyright: ignore[reportArgumentType]
        x_scale="jac",
        loss="huber",
        f_scale=HUBER,
        max_nfev=300,
    )
    return law(found.x), float(found.cost)
