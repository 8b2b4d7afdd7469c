"""How well orders agree: pair by pair, and by Krippendorff's α. An order is a rank per answer, 1 the best, ties share one."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

Ranks = Sequence[int]
Points = tuple[float, int]  # gained, of so many pairs


def agreement(known: Ranks, given: Ranks | None) -> Points:
    """Points and pairs: for each pair that `known` orders, 1 if `given` orders it so, ½ if it ties it; no answer gains nothing."""
    points, pairs = 0.0, 0
    for a, b in combinations(range(len(known)), 2):
        if known[a] != known[b]:
            pairs += 1
            if given is not None:
                points += (
                    0.5 if given[a] == given[b] else float((given[a] < given[b]) == (known[a] < known[b]))
                )
    return points, pairs


def total(parts: Iterable[Points]) -> Points:
    """Points and pairs of all parts together."""
    listed = list(parts)
    return sum(points for points, _ in listed), sum(pairs for _, pairs in listed)


def share(points: Points) -> float | None:
    """Points a pair; None without pairs."""
    return points[0] / points[1] if points[1] else None


def with_others(name: str, by: Mapping[str, Ranks]) -> Points:
    """How one labeler's order of an item agrees with those of all others who ranked it, theirs taken as known."""
    return total(agreement(other, by[name]) for who, other in by.items() if who != name)


def alpha(rankings: Mapping[Any, Mapping[str, Ranks]]) -> float | None:
    """Krippendorff's α of item → labeler → ranks, ordinal, a unit per answer, missing ranks left out; None where nothing is shared.

    Krippendorff, Content Analysis (2004), ch. 11: 1 is full agreement, 0 what chance gives. None as well where all is one rank.
    """
    units: list[Counter[int]] = []
    for by in rankings.values():
        if len(by) > 1:
            units += [Counter(ranks) for ranks in zip(*by.values(), strict=True)]
    values = sorted({rank for unit in units for rank in unit})
    if len(values) < 2:
        return None
    counts = np.array(
        [[unit[value] for value in values] for unit in units]
    )  # (units, ranks): who gave which does not matter
    import krippendorff

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(
            krippendorff.alpha(value_counts=counts, value_domain=values, level_of_measurement="ordinal")
        )


def by_labeler(rankings: Mapping[object, Mapping[str, Ranks]]) -> dict[str, Points]:
    """Each labeler's agreement with the others on the items that they share."""
    found: dict[str, list[Points]] = defaultdict(list)
    for by in rankings.values():
        for name in by:
            found[name].append(with_others(name, by))
    return {name: total(parts) for name, parts in sorted(found.items())}
