"""Intervals and a test of shares that hold however often one looks at them, and whenever one stops.

Each is a likelihood ratio, averaged over the alternatives, against one value p of the share: a process that
is 1 at first and not expected to grow where p is true. By Ville's inequality it ever reaches 1 / error with a
probability of at most `error`. Averages by Robbins (1970), Annals of Mathematical Statistics 41:1397; the
test over a set of values by Ramdas and others (2023), arXiv 2210.01948, section 6. Observations may be any
numbers from 0 to 1, independent, of which only the sums count: a half is half a hit and half a miss.
"""

from dataclasses import dataclass
from math import exp, inf, log, log1p

import numpy as np
from scipy.optimize import minimize_scalar, root_scalar
from scipy.special import betainc, betaln

EDGE = 1e-12  # nearest to 0 and 1 that a share is looked for
GRID = np.clip(np.linspace(0.0, 1.0, 201), EDGE, 1 - EDGE)
SMALLEST = 1e-290  # of a probability, before floats lose its digits


@dataclass(frozen=True)
class Counted:
    """Sums of hits and of misses."""

    hits: float
    misses: float

    @property
    def total(self) -> float:
        """How many observations there are."""
        return self.hits + self.misses

    @property
    def share(self) -> float | None:
        """The share of hits; None without observations."""
        return self.hits / self.total if self.total else None


def share_interval(counted: Counted, error: float) -> tuple[float, float]:
    """A confidence sequence of a share: at every number of observations it holds the true one.

    The probability that it ever fails to is at most `error`. These are the shares p at which
    B(hits + 1, misses + 1) / (p^hits (1 − p)^misses) is less than 1 / error, B being the beta function: the
    likelihood ratio averaged over all shares alike.
    """
    hits, misses = counted.hits, counted.misses

    def excess(p: float) -> float:
        return betaln(hits + 1, misses + 1) - hits * log(p) - misses * log1p(-p) + log(error)

    low, high = 0.0, 1.0
    best = counted.share
    if best and excess(EDGE) > 0:
        low = root_scalar(excess, bracket=(EDGE, min(best, 1 - EDGE))).root
    if best is not None and best < 1 and excess(1 - EDGE) > 0:
        high = root_scalar(excess, bracket=(max(best, EDGE), 1 - EDGE)).root
    return float(low), float(high)


def evidence_of_rise(before: Counted, now: Counted) -> float:
    """Evidence that the share of `now` is above that of `before`; an alarm at 1 / error is false that often.

    For each share p that both may have, the ratio of `before` is averaged over the shares below p and that of
    `now` over those above; the product is a supermartingale wherever the true shares are on the other sides
    of p, or at it. The evidence is the least over all p, so that it is below one of these whenever the share
    has not risen: it reaches 1 / error at any of all looks with a probability of at most `error`. In
    whatever order observations come, and however many `before` and `now` have, it depends on the sums alone.
    """

    def product(p: np.ndarray) -> np.ndarray:
        return _log_ratio(before.hits, before.misses, p) + _log_ratio(now.misses, now.hits, 1 - p)

    values = product(GRID)
    least = int(values.argmin())
    bounds = (GRID[max(least - 1, 0)], GRID[min(least + 1, len(GRID) - 1)])
    finer = minimize_scalar(lambda p: float(product(np.array([p]))[0]), bounds=bounds, method="bounded")
    found = min(float(values[least]), float(finer.fun))
    return exp(found) if found < 700 else inf


def _log_ratio(hits: float, misses: float, p: np.ndarray) -> np.ndarray:
    """Log of the likelihood ratio against each p, averaged over the shares below p.

    (1/p) ∫₀ᵖ q^hits (1 − q)^misses dq / (p^hits (1 − p)^misses), or (1 − p) / (hits + 1), which is less,
    where the integral is too small for floats.
    """
    inside = betainc(hits + 1, misses + 1, p)
    exact = (
        np.log(np.maximum(inside, SMALLEST))
        + betaln(hits + 1, misses + 1)
        - (hits + 1) * np.log(p)
        - misses * np.log1p(-p)
    )
    return np.where(inside > SMALLEST, exact, np.log1p(-p) - log(hits + 1))
