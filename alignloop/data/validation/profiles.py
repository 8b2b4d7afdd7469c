"""Profiles a set: its records by length, category, language and labeler, and the labelers' agreement."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from alignloop.core.labeler_agreement import Ranks, by_labeler, total

MIXES = ("length", "category", "language", "labeler")
MOST = 30  # values of a distribution that are counted one by one; the rarer ones count as `others`
LONGEST = 60  # characters of a value
UNSTATED = "unstated"  # the value of records that state none


def profile_of(rows: pd.DataFrame) -> dict[str, Any]:
    """The profile of a table of records: its distributions (`mixes`), the median length, and the agreement.

    Agreement counts the pairs of responses that two labelers ranked, and the points for ordering them alike.
    """
    lengths = rows["characters"].to_numpy(dtype=np.int64)
    mixes = {"length": _counts(map(str, _bins(lengths)))}
    for name in MIXES[1:]:
        if name in rows and any(value is not None for value in rows[name]):
            mixes[name] = _counts(value if isinstance(value, str) else UNSTATED for value in rows[name])
    profile: dict[str, Any] = {"rows": len(rows), "characters": float(np.median(lengths)), "mixes": mixes}
    if "item" in rows:
        points, pairs = total(by_labeler(_ranked_twice(rows)).values())
        profile["agreement"] = {"points": points, "pairs": pairs}
    return profile


def _bins(lengths: np.ndarray) -> list[int]:
    """Round each length down to a power of √2, in whole characters: 0, 1, 2, 4, 5, 8, 11, 16, …"""
    edges = np.unique([0, 1, *(int(2 ** (step / 2)) for step in range(2, 64))])
    return edges[np.searchsorted(edges, lengths, side="right") - 1].tolist()


def _counts(values: Iterable[str]) -> dict[str, int]:
    counts = Counter[str]()
    for value, count in Counter(values).items():
        # values that violate rules are counted too, so they must be encodable
        counts[value[:LONGEST].encode(errors="replace").decode()] += count
    common = dict(sorted(counts.most_common(MOST)))
    rest = counts.total() - sum(common.values())
    return common | ({"others": common.get("others", 0) + rest} if rest else {})


def _ranked_twice(rows: pd.DataFrame) -> dict[object, dict[str, Ranks]]:
    """Item → labeler → ranks, for the items that were ranked more than once."""
    repeated = rows[rows["item"].duplicated(keep=False)]
    items: dict[object, dict[str, Ranks]] = defaultdict(dict)
    for item, ranked, labeler in zip(repeated["item"], repeated["ranked"], repeated["labeler"], strict=True):
        if ranked and isinstance(labeler, str):
            items[item][labeler] = [int(rank) for rank in ranked.split()]
    return items
