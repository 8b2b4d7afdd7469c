"""Quantiles of Prometheus histograms."""

from collections.abc import Mapping
from math import inf


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """The value below which a share of the observations is; None without observations.

    `buckets` maps upper bounds to the number of observations at or below them. Within a bucket observations
    are taken as evenly spread, from 0 in the first one; beyond the last finite bound it is that bound, as
    Prometheus' histogram_quantile has it.
    """
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    wanted = share * buckets[bounds[-1]]
    low, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= wanted:
            if bound == inf:
                return low
            inside = buckets[bound] - below
            return low + (bound - low) * (wanted - below) / inside if inside else bound
        low, below = bound, buckets[bound]
    return low
