"""The sign test: whether comparisons prefer one of two models, and how many would show a difference."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist

from scipy.stats import binomtest

from alignloop.core.metrics import win_rate_of_outcomes

LEVEL, POWER = 0.05, 0.8  # a preference is found by chance in 1 of 20 tests, and a real one in 4 of 5
FEWEST = 6  # preferences: 2 · ½⁵ = 0.0625, so that five of five may still be chance


@dataclass(frozen=True)
class SignTest:
    """How many comparisons one side won, lost and tied, and how often chance gives so one-sided a result.

    `needed` comparisons find a given difference, the share won less the share lost, in 4 of 5 tests.
    """

    better: int
    worse: int
    same: int
    chance: float
    needed: int

    @property
    def preferred(self) -> int:
        """1 if the first side is preferred, -1 if the other one is, 0 if they cannot be told apart."""
        if self.chance >= LEVEL:
            return 0
        return 1 if self.better > self.worse else -1


def sign_test(outcomes: Sequence[float], difference: float = 0.1) -> SignTest:
    """Test outcomes from 0 (lost) to 1 (won), one for each independent comparison; ½ is a tie.

    The test is exact and two-sided, on the comparisons that are no ties. `needed` is the sample size of
    McNemar's test (Connor 1987, Biometrics 43:207) for the share of preferences at the upper end of its 95 %
    interval, so that few comparisons do not promise too much; without any, no ties are expected.
    """
    better, worse = sum(each > 0.5 for each in outcomes), sum(each < 0.5 for each in outcomes)
    chance = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    decided = 1.0
    if outcomes:
        decided = max(difference, win_rate_of_outcomes([float(each != 0.5) for each in outcomes]).high)
    certain, likely = NormalDist().inv_cdf(1 - LEVEL / 2), NormalDist().inv_cdf(POWER)
    root = (certain * sqrt(decided) + likely * sqrt(decided - difference**2)) / difference
    return SignTest(better, worse, len(outcomes) - better - worse, chance, ceil(root**2))
