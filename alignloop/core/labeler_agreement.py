"""Labeler agreement on rankings: pair by pair, and by Krippendorff's α.

A ranking has a rank per response, 1 the best; tied responses share a rank.
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

Ranks = Sequence[int]
Points = tuple[float, int]  # points, and the number of pairs, which is the most points possible


def agreement(reference: Ranks, ranks: Ranks | None) -> Points:
    """Points and pairs of a ranking compared with a reference ranking of the same responses.

    Only pairs that `reference` does not tie count: 1 point where `ranks` has the same order, ½ where it has
    a tie, 0 otherwise; no points at all where `ranks` is None.
    """
    points, pairs = 0.0, 0
    for a, b in combinations(range(len(reference)), 2):
        if reference[a] != reference[b]:
            pairs += 1
            if ranks is None:
                continue
            if ranks[a] == ranks[b]:
                points += 0.5
            else:
                points += float((ranks[a] < ranks[b]) == (reference[a] < reference[b]))
    return points, pairs


def total(parts: Iterable[Points]) -> Points:
    """The sums of the points and of the pairs."""
    listed = list(parts)
    return sum(points for points, _ in listed), sum(pairs for _, pairs in listed)


def agreement_rate(points: Points) -> float | None:
    """Points per pair; None without pairs."""
    return points[0] / points[1] if points[1] else None


def with_others(name: str, by: Mapping[str, Ranks]) -> Points:
    """Agreement of one labeler's ranking of an item with each other labeler's as the reference."""
    return total(agreement(other, by[name]) for who, other in by.items() if who != name)


def alpha(rankings: Mapping[Any, Mapping[str, Ranks]]) -> float | None:
    """Krippendorff's α of item → labeler → ranks: ordinal, one unit per response, missing ranks left out.

    1 is full agreement, 0 what chance gives (Krippendorff, Content Analysis, 2004, ch. 11). None where no
    item has two labelers, or where all ranks are equal.
    """
    units: list[Counter[int]] = []
    for by in rankings.values():
        if len(by) > 1:
            units += [Counter(ranks) for ranks in zip(*by.values(), strict=True)]
    values = sorted({rank for unit in units for rank in unit})
    if len(values) < 2:
        return None
    # (units, ranks): which labeler gave which rank does not matter
    counts = np.array([[unit[value] for value in values] for unit in units])
    import krippendorff

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(
            krippendorff.alpha(value_counts=counts, value_domain=values, level_of_measurement="ordinal")
        )


def by_labeler(rankings: Mapping[object, Mapping[str, Ranks]]) -> dict[str, Points]:
    """Each labeler's agreement with the others on the items that they have in common."""
    points: dict[str, list[Points]] = defaultdict(list)
    for by in rankings.values():
        for name in by:
            points[name].append(with_others(name, by))
    return {name: total(parts) for name, parts in sorted(points.items())}
