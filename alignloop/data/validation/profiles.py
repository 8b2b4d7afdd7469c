"""What a set looks like, in counts: how long its records are, of which categories and languages, by whose labels, and how those agree."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from alignloop.core.labeler_agreement import Ranks, by_labeler, total

MIXES = ("length", "category", "language", "labeler")
MOST = 30  # values of a mix that are told apart; the rarer ones are `others`
LONGEST = 60  # characters of a value
UNTOLD = "untold"  # records that do not say


def profile_of(rows: pd.DataFrame) -> dict[str, Any]:
    """Of a table of records the counts of each mix, the median length, and points and pairs of labelers who ranked the same answers."""
    lengths = rows["characters"].to_numpy(dtype=np.int64)
    mixes = {"length": _counts(map(str, _bins(lengths)))}
    for name in MIXES[1:]:
        if name in rows and any(value is not None for value in rows[name]):
            mixes[name] = _counts(value if isinstance(value, str) else UNTOLD for value in rows[name])
    told: dict[str, Any] = {"rows": len(rows), "characters": float(np.median(lengths)), "mixes": mixes}
    if "item" in rows:
        points, pairs = total(by_labeler(_shared(rows)).values())
        told["agreement"] = {"points": points, "pairs": pairs}
    return told


def _bins(lengths: np.ndarray) -> list[int]:
    """Of each length in characters the greatest power of √2 that is not above it, in whole characters: 0, 1, 2, 4, 5, 8, 11, 16, …"""
    edges = np.unique([0, 1, *(int(2 ** (step / 2)) for step in range(2, 64))])
    return edges[np.searchsorted(edges, lengths, side="right") - 1].tolist()


def _counts(values: Iterable[str]) -> dict[str, int]:
    counts = Counter[str]()
    for value, count in Counter(values).items():
        counts[value[:LONGEST].encode(errors="replace").decode()] += (
            count  # what breaks rules is counted as well
        )
    kept = dict(sorted(counts.most_common(MOST)))
    rest = counts.total() - sum(kept.values())
    return kept | ({"others": kept.get("others", 0) + rest} if rest else {})


def _shared(rows: pd.DataFrame) -> dict[object, dict[str, Ranks]]:
    """Item → labeler → ranks, of the items that were ranked more than once."""
    again = rows[rows["item"].duplicated(keep=False)]
    items: dict[object, dict[str, Ranks]] = defaultdict(dict)
    for item, ranked, labeler in zip(again["item"], again["ranked"], again["labeler"], strict=True):
        if ranked and isinstance(labeler, str):
            items[item][labeler] = [int(rank) for rank in ranked.split()]
    return items
