"""Rows of different lengths through a model without paying for padding: neighbours in length share a forward pass."""

from collections.abc import Sequence

import numpy as np

TOKENS_PER_PASS = 384  # padded tokens of one forward pass: little padding, a CPU core's cache, and parts enough for every lane
ROWS_PER_LANE = 64  # with fewer, a step of decoding takes hardly less time


def by_length(lengths: Sequence[int], tokens: int = TOKENS_PER_PASS) -> list[list[int]]:
    """All indices, shortest row first, cut so that (rows × longest) of a batch stays within `tokens` (one row at least)."""
    batches: list[list[int]] = []
    batch: list[int] = []
    for index in np.argsort(np.asarray(lengths), kind="stable").tolist():
        if batch and (len(batch) + 1) * lengths[index] > tokens:
            batches.append(batch)
            batch = []
        batch.append(index)
    return [*batches, batch] if batch else batches


def in_pairs(lengths: Sequence[int], most: int) -> list[list[int]]:
    """All indices, shortest row first, in groups of at most `most` and nearly equal in size; where rows are many, as many for two lanes."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    groups = -(-len(order) // most)
    if len(order) >= 2 * ROWS_PER_LANE:
        groups = min(groups + groups % 2, len(order))
    return [group.tolist() for group in np.array_split(order, max(groups, 1)) if len(group)]


def by_fill(lengths: Sequence[int], tokens: int = TOKENS_PER_PASS) -> list[list[int]]:
    """All indices in packs of at most `tokens` tokens in all (one row at least): the longest first, each where it is the first to fit."""
    packs: list[list[int]] = []
    room: list[int] = []
    for index in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        place = next((place for place, left in enumerate(room) if lengths[index] <= left), len(packs))
        if place == len(packs):
            packs.append([])
            room.append(tokens)
        packs[place].append(index)
        room[place] -= lengths[index]
    return packs


def steps_of(rows: int, rows_per_step: int, epochs: float) -> int:
    """Number of optimiser steps of a training of `epochs` passes; the last, smaller step of each pass counts."""
    if rows == 0:
        return 0
    return max(1, round(epochs * -(-rows // rows_per_step)))
