"""Numbers that say how good answers are: win rates with intervals, diversity, and what length alone explains."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class WinRate:
    """Share of prompts on which one side wins (ties count a half), with a 95 % interval."""

    rate: float
    low: float
    high: float
    n: int
    ties: float

    def as_dict(self) -> dict[str, float]:
        """For a metrics file."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


def win_rate(mine: Sequence[float], theirs: Sequence[float], tolerance: float = 1e-9) -> WinRate:
    """How often `mine` is greater; the interval is Wilson's, which stays honest at rates of 0 and 1 and is wide enough for ties."""
    gaps = np.asarray(mine, dtype=float) - np.asarray(theirs, dtype=float)
    outcomes = np.where(gaps > tolerance, 1.0, np.where(gaps < -tolerance, 0.0, 0.5))
    n, rate, z = len(outcomes), float(outcomes.mean()), 1.96
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return WinRate(rate, max(0.0, float(centre - half)), min(1.0, float(centre + half)), n, float((outcomes == 0.5).mean()))


def length_controlled_win_rate(
    mine: Sequence[float], theirs: Sequence[float], my_lengths: Sequence[int], their_lengths: Sequence[int]
) -> float:
    """The win rate at equal length: a logistic regression of the outcome on the squashed length gap, read at gap 0 (arXiv 2404.04475)."""
    gaps = np.asarray(mine, dtype=float) - np.asarray(theirs, dtype=float)
    outcomes = np.where(gaps > 1e-9, 1.0, np.where(gaps < -1e-9, 0.0, 0.5))
    lengths = np.asarray(my_lengths, dtype=float) - np.asarray(their_lengths, dtype=float)
    spread = lengths.std()
    if spread == 0:
        return float(outcomes.mean())
    design = np.stack([np.ones(len(gaps)), np.tanh(lengths / spread)], axis=1)
    weights = np.zeros(2)
    for _ in range(50):  # Newton's method with a hair of ridge, so that perfect separation stays finite
        chance = 1 / (1 + np.exp(-design @ weights))
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + 1e-3 * np.eye(2)
        weights = weights + np.linalg.solve(curvature, design.T @ (outcomes - chance) - 1e-3 * weights)
    return float(1 / (1 + np.exp(-weights[0])))


def distinct(rows: Sequence[Sequence[int]], n: int) -> float:
    """Share of different n-grams among all n-grams of all rows (arXiv 1510.03055)."""
    grams = [tuple(row[start : start + n]) for row in rows for start in range(len(row) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def distinct_answers(texts: Sequence[str]) -> float:
    """Share of different answers among all answers."""
    return len(set(texts)) / len(texts)
