"""Several token rows in one, side by side: what may see what is said by who owns a place, so that no row sees its neighbours."""

from collections.abc import Sequence

import torch
from torch import Tensor


def lay_out(groups: Sequence[Sequence[Sequence[int]]], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Each group of segments as one row: ids, positions and owners (B, T).

    Segment 0 comes first and is shared: the others, side by side behind it, each continue it, and their positions do. It may be empty: then
    the others are rows of their own, packed. A place's owner is its segment's number; −1 is padding.
    """
    width = max(sum(map(len, group)) for group in groups)
    ids, positions = torch.full((len(groups), width), pad), torch.zeros(len(groups), width, dtype=torch.long)
    owners = torch.full((len(groups), width), -1)
    for place, group in enumerate(groups):
        start = 0
        for number, segment in enumerate(group):
            stop = start + len(segment)
            ids[place, start:stop] = torch.tensor(segment, dtype=torch.long)
            positions[place, start:stop] = torch.arange(len(segment)) + (len(group[0]) if number else 0)
            owners[place, start:stop] = number
            start = stop
    return ids, positions, owners


def sight(owners: Tensor) -> Tensor:
    """What each place attends to (B, T, T): the shared segment and its own, up to itself."""
    own = owners[:, :, None] == owners[:, None, :]
    return (own | (owners[:, None, :] == 0)) & torch.ones(2 * owners.shape[1:], dtype=torch.bool).tril()
