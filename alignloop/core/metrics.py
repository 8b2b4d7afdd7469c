"""Numbers that say how good answers are: win rates with intervals, diversity, and what length alone explains."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, log

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
    return share(np.where(gaps > tolerance, 1.0, np.where(gaps < -tolerance, 0.0, 0.5)).tolist())


def share(outcomes: Sequence[float]) -> WinRate:
    """The mean of outcomes between 0 (lost) and 1 (won), one a prompt, as a win rate; what is neither is counted among the ties."""
    n, rate, z = len(outcomes), float(np.mean(outcomes)), 1.96
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    # at 0 and 1 the bound is the rate itself, but for rounding
    low, high = min(rate, max(0.0, float(centre - half))), max(rate, min(1.0, float(centre + half)))
    return WinRate(rate, low, high, n, sum(0 < each < 1 for each in outcomes) / n)


def in_words(win: Mapping[str, float]) -> str:
    """A win rate, as a metrics file has it, with its interval and the number of prompts."""
    return f"{win['rate']:.3f} [{win['low']:.3f}, {win['high']:.3f}] on {win['n']:.0f} prompts"


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


def self_bleu(rows: Sequence[Sequence[int]], n: int = 4) -> float:
    """Mean BLEU-n of each row against all others as its references (arXiv 1802.01886): 1 if all rows are alike, 0 if none overlap.

    A row of fewer than n tokens is judged by the n-grams it has; nothing is smoothed.
    """
    if len(rows) < 2:
        return 0.0
    logs, orders = [0.0] * len(rows), [min(n, len(row)) for row in rows]
    for order in range(1, n + 1):
        counts = [
            Counter(tuple(row[start : start + order]) for start in range(len(row) - order + 1))
            for row in rows
        ]
        most: dict[
            tuple[int, ...], tuple[int, int]
        ] = {}  # of each n-gram: its greatest count in a row, and the next greatest in another
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
    """The length among the other rows' that is nearest to this one, the shorter of two."""
    others = (other for other, count in lengths.items() if count > (other == length))
    return min(others, key=lambda other: (abs(other - length), other))
