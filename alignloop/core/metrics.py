"""Metrics of responses: win rates with confidence intervals, length-controlled win rates and diversity."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, log

import numpy as np

Z = 1.96  # standard errors to either end of a 95 % interval


@dataclass(frozen=True)
class WinRate:
    """Share of prompts on which one side wins (ties count a half), with its 95 % confidence interval."""

    rate: float
    low: float
    high: float
    n: int
    ties: float

    def as_dict(self) -> dict[str, float]:
        """The fields as a metrics file has them, rounded."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


def win_rate(mine: Sequence[float], theirs: Sequence[float], tolerance: float = 1e-9) -> WinRate:
    """The win rate of `mine` over `theirs`, one number per prompt; gaps within `tolerance` are ties."""
    gaps = np.asarray(mine, dtype=float) - np.asarray(theirs, dtype=float)
    outcomes = np.where(gaps > tolerance, 1.0, np.where(gaps < -tolerance, 0.0, 0.5))
    return win_rate_of_outcomes(outcomes.tolist())


def win_rate_of_outcomes(outcomes: Sequence[float]) -> WinRate:
    """The win rate of outcomes from 0 (lost) to 1 (won), one per prompt; all between are ties.

    The interval is Wilson's: it is right at rates of 0 and 1 as well, and wide enough where there are ties.
    """
    n = len(outcomes)
    rate = float(np.mean(outcomes))
    centre = (rate + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(rate * (1 - rate) / n + Z**2 / (4 * n**2))
    # at rates of 0 and 1 the bound equals the rate up to rounding
    low, high = min(rate, max(0.0, float(centre - half))), max(rate, min(1.0, float(centre + half)))
    return WinRate(rate, low, high, n, sum(0 < each < 1 for each in outcomes) / n)


def format_win_rate(win: Mapping[str, float]) -> str:
    """A win rate of a metrics file as text: the rate, its interval and the number of prompts."""
    return f"{win['rate']:.3f} [{win['low']:.3f}, {win['high']:.3f}] on {win['n']:.0f} prompts"


def length_controlled_win_rate(
    mine: Sequence[float], theirs: Sequence[float], my_lengths: Sequence[int], their_lengths: Sequence[int]
) -> float:
    """The win rate at equal length (arXiv 2404.04475).

    Fits a logistic regression of the outcome on the tanh of the standardised length difference, and
    predicts at difference 0.
    """
    gaps = np.asarray(mine, dtype=float) - np.asarray(theirs, dtype=float)
    outcomes = np.where(gaps > 1e-9, 1.0, np.where(gaps < -1e-9, 0.0, 0.5))
    lengths = np.asarray(my_lengths, dtype=float) - np.asarray(their_lengths, dtype=float)
    spread = lengths.std()
    if spread == 0:
        return float(outcomes.mean())
    design = np.stack([np.ones(len(gaps)), np.tanh(lengths / spread)], axis=1)
    weights = np.zeros(2)
    for _ in range(50):  # Newton's method, with a small ridge term so that perfect separation stays finite
        chance = 1 / (1 + np.exp(-design @ weights))
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + 1e-3 * np.eye(2)
        weights = weights + np.linalg.solve(curvature, design.T @ (outcomes - chance) - 1e-3 * weights)
    return float(1 / (1 + np.exp(-weights[0])))


def distinct(rows: Sequence[Sequence[int]], n: int) -> float:
    """Distinct-n: the share of distinct n-grams among all n-grams of all rows (arXiv 1510.03055)."""
    grams = [tuple(row[start : start + n]) for row in rows for start in range(len(row) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def distinct_responses(texts: Sequence[str]) -> float:
    """The share of distinct responses among all responses."""
    return len(set(texts)) / len(texts)


def self_bleu(rows: Sequence[Sequence[int]], n: int = 4) -> float:
    """Self-BLEU (arXiv 1802.01886): mean BLEU-n of each row with all other rows as references.

    1 if all rows are equal, 0 if none share an n-gram. A row of fewer than n tokens is compared by the
    n-grams that it has; there is no smoothing.
    """
    if len(rows) < 2:
        return 0.0
    logs = [0.0] * len(rows)
    orders = [min(n, len(row)) for row in rows]
    for order in range(1, n + 1):
        counts = [
            Counter(tuple(row[start : start + order]) for start in range(len(row) - order + 1))
            for row in rows
        ]
        # for each n-gram its highest count in one row, and the next highest count in another row
        most: dict[tuple[int, ...], tuple[int, int]] = {}
        for counter in counts:
            for gram, count in counter.items():
                first, second = most.get(gram, (0, 0))
                most[gram] = (max(first, count), max(min(first, count), second))
        for place, counter in enumerate(counts):
            if total := sum(counter.values()):
                shared = sum(
                    min(count, most[gram][1] if count == most[gram][0] else most[gram][0])
                    for gram, count in counter.items()
                )
                logs[place] += log(shared / total) / orders[place] if shared else float("-inf")
    lengths = Counter(map(len, rows))
    penalties = [
        min(0.0, 1 - _nearest(len(row), lengths) / len(row)) if len(row) else float("-inf") for row in rows
    ]
    return sum(exp(mean + penalty) for mean, penalty in zip(logs, penalties, strict=True)) / len(rows)


def _nearest(length: int, lengths: Counter[int]) -> int:
    """The length of the other rows that is nearest to this one; of two equally near, the shorter."""
    others = (other for other, count in lengths.items() if count > (other == length))
    return min(others, key=lambda other: (abs(other - length), other))
