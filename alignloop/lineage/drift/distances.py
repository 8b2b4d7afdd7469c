"""How far each measure of a set has moved, and how far chance alone moves it.

A mix (of lengths, categories, languages, labelers) moves by the share of records that would have to be others for both versions to look
alike: the total variation distance. Agreement moves by the difference of two shares.
"""

from collections.abc import Iterator, Mapping
from math import pi, sqrt
from typing import Any, NamedTuple

from alignloop.data.validation.profiles import MIXES, UNSTATED

Profile = Mapping[str, Any]  # of one set, as `profile_of` makes it
Profiles = Mapping[str, Profile]
MEASURES = (*MIXES, "agreement")


class Shift(NamedTuple):
    """A measure of a set in two versions; `what` names the number that tells it best, as it was and is."""

    set: str
    measure: str
    what: str
    before: str
    now: str
    distance: float
    chance: float
    bound: float | None

    @property
    def warns(self) -> bool:
        """Whether it moved further than its bound and chance together."""
        return self.bound is not None and self.distance > self.bound + self.chance

    def __str__(self) -> str:
        numbers = f"{self.set}: {self.measure}: {self.what} {self.before} → {self.now}"
        bound = f"beyond validate.drift.{self.measure} {self.bound:g} and the {self.chance:.3f} that chance makes of so few"
        return f"{numbers}; it moved by {self.distance:.3f}, {bound}"


def shifts(before: Profiles, now: Profiles, bounds: Mapping[str, float | None]) -> Iterator[Shift]:
    """Every measure of every set that both versions have."""
    for name in sorted(before.keys() & now.keys()):
        old, new = before[name], now[name]
        for measure in MIXES:
            was, has = _mix(old, measure), _mix(new, measure)
            if was.keys() | has.keys() != {UNSTATED}:
                yield Shift(name, measure, *_best(measure, old, new), *distance(was, has), bounds[measure])
        (gained, of), (gains, pairs) = (_agreed(each) for each in (old, new))
        if of and pairs:
            p, q = gained / of, gains / pairs
            told = ("pairs ordered alike", f"{p:.1%}", f"{q:.1%}")
            yield Shift(
                name,
                "agreement",
                *told,
                abs(p - q),
                _chance((gained + gains) / (of + pairs), of, pairs),
                bounds["agreement"],
            )


def distance(before: Mapping[str, int], now: Mapping[str, int]) -> tuple[float, float]:
    """Total variation of two counts, ½ Σ |p − q|, and about what two samples of one source have: ½ Σ √(2/π · p(1 − p)(1/n + 1/m))."""
    n, m = sum(before.values()), sum(now.values())
    values = before.keys() | now.keys()
    moved = sum(abs(before.get(value, 0) / n - now.get(value, 0) / m) for value in values) / 2
    return moved, sum(
        _chance((before.get(value, 0) + now.get(value, 0)) / (n + m), n, m) for value in values
    ) / 2


def _chance(p: float, n: int, m: int) -> float:
    """The mean of |p̂ − q̂|, shares of `p` in two samples: √(2/π) standard deviations of their difference."""
    return sqrt(2 / pi * p * (1 - p) * (1 / n + 1 / m))


def _mix(profile: Profile, measure: str) -> Mapping[str, int]:
    return profile["mixes"].get(measure) or {UNSTATED: profile["rows"]}


def shares(profile: Profile, measure: str) -> dict[str, float]:
    """The share of the records that each value of a mix has."""
    return {value: count / profile["rows"] for value, count in _mix(profile, measure).items()}


def _agreed(profile: Profile) -> tuple[float, int]:
    return tuple(profile.get("agreement", {"points": 0.0, "pairs": 0}).values())


def _best(measure: str, old: Profile, new: Profile) -> tuple[str, str, str]:
    """The number that tells best how a mix moved: the median length, or the share of the value that moved most."""
    if measure == "length":
        return "median characters", f"{old['characters']:g}", f"{new['characters']:g}"
    was, has = (shares(profile, measure) for profile in (old, new))
    gone = {value: was.get(value, 0.0) - has.get(value, 0.0) for value in sorted(was.keys() | has.keys())}
    most = max(
        gone, key=lambda value: (abs(gone[value]), -gone[value])
    )  # of one that went and one that came, the one that came
    return most, f"{was.get(most, 0.0):.1%}", f"{has.get(most, 0.0):.1%}"
