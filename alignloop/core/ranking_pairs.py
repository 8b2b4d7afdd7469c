"""The pairs and ties that a ranking contains."""

from collections.abc import Sequence


def pairs_of(ranks: Sequence[int]) -> tuple[list[int], list[int]]:
    """Indices of the better and of the worse response of every pair with different ranks."""
    pairs = [(a, b) for a in range(len(ranks)) for b in range(len(ranks)) if ranks[a] < ranks[b]]
    return [a for a, _ in pairs], [b for _, b in pairs]


def ties_of(ranks: Sequence[int]) -> tuple[list[int], list[int]]:
    """Indices of the two responses of every tied pair, each pair once."""
    pairs = [(a, b) for b in range(len(ranks)) for a in range(b) if ranks[a] == ranks[b]]
    return [a for a, _ in pairs], [b for _, b in pairs]
