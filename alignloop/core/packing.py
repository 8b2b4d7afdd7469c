"""Packing: several token rows in one row, with an attention mask that keeps them apart."""

from collections.abc import Sequence

import torch
from torch import Tensor


def pack(groups: Sequence[Sequence[Sequence[int]]], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Each group of segments packed into one row: ids, positions and segment numbers, each (B, T).

    Segment 0 comes first and is shared: every other segment, and its positions, continue segment 0. If
    segment 0 is empty, the others are independent rows. The segment number of padding is −1.
    """
    width = max(sum(map(len, group)) for group in groups)
    ids, positions = torch.full((len(groups), width), pad), torch.zeros(len(groups), width, dtype=torch.long)
    segments = torch.full((len(groups), width), -1)
    for place, group in enumerate(groups):
        start = 0
        for number, segment in enumerate(group):
            stop = start + len(segment)
            ids[place, start:stop] = torch.tensor(segment, dtype=torch.long)
            positions[place, start:stop] = torch.arange(len(segment)) + (len(group[0]) if number else 0)
            segments[place, start:stop] = number
            start = stop
    return ids, positions, segments


def packed_attention(segments: Tensor) -> Tensor:
    """The attention mask (B, T, T): a token attends to segment 0 and its own segment, up to itself."""
    own = segments[:, :, None] == segments[:, None, :]
    causal = torch.ones(2 * segments.shape[1:], dtype=torch.bool).tril()
    return (own | (segments[:, None, :] == 0)) & causal
