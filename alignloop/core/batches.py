"""Grouping of rows into forward passes: rows of similar length share a pass, so that little is padding."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from alignloop.core import parallel_passes, pass_limits

T = TypeVar("T")
ROWS_PER_THREAD = 64  # with fewer rows, a decoding step is hardly faster


def by_length(lengths: Sequence[int], tokens: int | None = None) -> list[list[int]]:
    """All indices, shortest row first, in batches whose padded size (rows × longest) is at most `tokens`.

    Without `tokens`, the limit of this process counts. A batch has at least one row, however long.
    """
    limit = tokens or pass_limits.current().tokens
    batches: list[list[int]] = []
    batch: list[int] = []
    for index in np.argsort(np.asarray(lengths), kind="stable").tolist():
        if batch and (len(batch) + 1) * lengths[index] > limit:
            batches.append(batch)
            batch = []
        batch.append(index)
    return [*batches, batch] if batch else batches


def even_groups(lengths: Sequence[int], max_rows: int) -> list[list[int]]:
    """All indices, shortest row first, in groups of nearly equal size, at most `max_rows` rows each.

    Where there are many rows, all threads and ranks have equal work: the number of groups is even, or a
    multiple of that of the ranks.
    """
    order, ranks = np.argsort(np.asarray(lengths), kind="stable"), parallel_passes.ranks()
    groups = -(-len(order) // max_rows)
    shares = max(2, ranks.size) if ranks else 2
    if len(order) >= shares * ROWS_PER_THREAD:
        groups = min(groups + -groups % shares, len(order))
    return [group.tolist() for group in np.array_split(order, max(groups, 1)) if len(group)]


def first_fit(lengths: Sequence[int], tokens: int | None = None) -> list[list[int]]:
    """All indices in packs of at most `tokens` tokens, by first-fit decreasing bin packing.

    Without `tokens`, the limit of this process counts. A pack has at least one row, however long.
    """
    limit = tokens or pass_limits.current().tokens
    packs: list[list[int]] = []
    room: list[int] = []
    for index in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        place = next((place for place, left in enumerate(room) if lengths[index] <= left), len(packs))
        if place == len(packs):
            packs.append([])
            room.append(limit)
        packs[place].append(index)
        room[place] -= lengths[index]
    return packs


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` items, evenly spread over all, in their order."""
    count = min(len(items), most)
    return [items[place * len(items) // count] for place in range(count)]


def steps_of(rows: int, rows_per_step: int, epochs: float) -> int:
    """Number of optimiser steps in `epochs` epochs; the last, smaller step of each epoch counts."""
    if rows == 0:
        return 0
    return max(1, round(epochs * -(-rows // rows_per_step)))
