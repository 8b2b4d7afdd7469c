"""Rows that cannot be used, and why."""

from typing import NamedTuple

LONGEST = 16 * 2**20  # bytes of one row; the longest rows of public data sets have some hundred thousand


class Refused(NamedTuple):
    """A row that cannot be used, and why; reasons are counted, so they quote no content."""

    reason: str


class Withdrawn(Refused):
    """A row that its source itself has withdrawn; it does not count against ingest.max_refused."""

    __slots__ = ()
