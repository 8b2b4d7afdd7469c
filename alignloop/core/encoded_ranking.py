"""A ranking as rows of token ids."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class EncodedRanking:
    """Token rows (prompt, response, end token) of a prompt's K responses, and their ranks, 1 the best.

    The first `shared` tokens of all rows are equal. `name` is what messages call the ranking. With `good` it
    is a binary label instead: one row, and whether it is good.
    """

    rows: list[list[int]]
    ranks: list[int]
    shared: int = 0
    name: str = ""
    good: bool | None = None

    @cached_property
    def distinct(self) -> list[list[int]]:
        """Each distinct row once: equal responses have the same score, so it is computed once."""
        return [list(row) for row in dict.fromkeys(map(tuple, self.rows))]

    @cached_property
    def places(self) -> list[int]:
        """The index of each of the K rows among the distinct ones."""
        return [self.distinct.index(row) for row in self.rows]

    def __len__(self) -> int:
        """The number of tokens of the packed row: the shared ones once, then each distinct response."""
        return self.shared + sum(len(row) - self.shared for row in self.distinct)
