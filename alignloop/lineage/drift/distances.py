"""Distances between two versions of a data set, each with the distance that chance alone would cause.

A distribution (of lengths, categories, languages, labelers) is compared by the total variation distance: the
share of records that would have to change for both versions to be equal. Labeler agreement is compared by the
difference of two shares.
"""

from collections.abc import Iterator, Mapping
from math import pi, sqrt
from typing import Any, NamedTuple

from alignloop.data.validation.profiles import MIXES, UNSTATED
from alignloop.progress import readable

Profile = Mapping[str, Any]  # of one set, as `profile_of` makes it
Profiles = Mapping[str, Profile]
MEASURES = (*MIXES, "agreement")


class Shift(NamedTuple):
    """A measure of a set in two versions; `statistic` is its most informative number, `before` and `now`."""

    dataset: str
    measure: str
    statistic: str
    before: str
    now: str
    distance: float
    chance: float
    bound: float | None

    @property
    def exceeds_bound(self) -> bool:
        """Whether the distance is greater than its bound and the distance by chance together."""
        return self.bound is not None and self.distance > self.bound + self.chance

    def __str__(self) -> str:
        numbers = f"{self.dataset}: {self.measure}: {self.statistic} {self.before} → {self.now}"
        bound = f"more than validate.drift.{self.measure} {self.bound:g} plus {self.chance:.3f} by chance"
        return f"{numbers}; it moved by {self.distance:.3f}, {bound}"


def measure_shifts(before: Profiles, now: Profiles, bounds: Mapping[str, float | None]) -> Iterator[Shift]:
    """Yield the shift of every measure of every set that both versions have."""
    for name in sorted(before.keys() & now.keys()):
        old, new = before[name], now[name]
        for measure in MIXES:
            was, has = _counts(old, measure), _counts(new, measure)
            if was.keys() | has.keys() != {UNSTATED}:
                statistic, old_value, new_value = _statistic(measure, old, new)
                distance, chance = total_variation(was, has)
                yield Shift(
                    name,
                    measure,
                    statistic,
                    old_value,
                    new_value,
                    distance=distance,
                    chance=chance,
                    bound=bounds[measure],
                )
        (old_points, old_pairs), (new_points, new_pairs) = _agreement(old), _agreement(new)
        if old_pairs and new_pairs:
            p, q = old_points / old_pairs, new_points / new_pairs
            pooled = (old_points + new_points) / (old_pairs + new_pairs)
            yield Shift(
                name,
                "agreement",
                "pairs ordered alike",
                f"{p:.1%}",
                f"{q:.1%}",
                distance=abs(p - q),
                chance=_chance(pooled, old_pairs, new_pairs),
                bound=bounds["agreement"],
            )


def total_variation(before: Mapping[str, int], now: Mapping[str, int]) -> tuple[float, float]:
    """Return the total variation of two counts, and about its mean for two samples of one distribution.

    The first is ½ Σ |p − q|, the second ½ Σ √(2/π · p(1 − p)(1/n + 1/m)) with the pooled share p of each
    value.
    """
    n, m = sum(before.values()), sum(now.values())
    values = before.keys() | now.keys()
    distance = sum(abs(before.get(value, 0) / n - now.get(value, 0) / m) for value in values) / 2
    pooled = ((before.get(value, 0) + now.get(value, 0)) / (n + m) for value in values)
    return distance, sum(_chance(p, n, m) for p in pooled) / 2


def _chance(p: float, n: int, m: int) -> float:
    """The mean of |p̂ − q̂|, shares of `p` in two samples: √(2/π) standard deviations of their difference."""
    return sqrt(2 / pi * p * (1 - p) * (1 / n + 1 / m))


def _counts(profile: Profile, measure: str) -> Mapping[str, int]:
    return profile["mixes"].get(measure) or {UNSTATED: profile["rows"]}


def shares(profile: Profile, measure: str) -> dict[str, float]:
    """Return the share of the records that has each value of a measure."""
    return {value: count / profile["rows"] for value, count in _counts(profile, measure).items()}


def _agreement(profile: Profile) -> tuple[float, int]:
    return tuple(profile.get("agreement", {"points": 0.0, "pairs": 0}).values())


def _statistic(measure: str, old: Profile, new: Profile) -> tuple[str, str, str]:
    """Return the most informative number of a shift: the median length, or the share that changed most."""
    if measure == "length":
        return "median characters", readable(old["characters"]), readable(new["characters"])
    was, has = (shares(profile, measure) for profile in (old, new))
    losses = {value: was.get(value, 0.0) - has.get(value, 0.0) for value in sorted(was.keys() | has.keys())}
    # of a value that was lost and one that was gained by the same share, the one gained
    most = max(losses, key=lambda value: (abs(losses[value]), -losses[value]))
    return most, f"{was.get(most, 0.0):.1%}", f"{has.get(most, 0.0):.1%}"
