"""Thumbs on the responses to one prompt: a ranking where both kinds are there, else labels one by one."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from alignloop.labeling.feedback_schema import ResponseFeedback


class Thumbs(NamedTuple):
    """What is ranked, thumbs up first; what is a label by itself; and how many are neither.

    Those are thumbs on a response equal to another that has one, and those beyond a ranking's most responses.
    """

    ranked: list[ResponseFeedback]
    single: list[ResponseFeedback]
    unused: int


def sort_thumbs(
    rows: Sequence[ResponseFeedback], text_of: Callable[[ResponseFeedback], str], most: int
) -> Thumbs:
    """Sort the thumbs on responses to one prompt; a ranking has `most` responses at most.

    Equal responses with thumbs of both kinds say nothing.
    """
    said: dict[str, set[bool | None]] = defaultdict(set)
    for row in rows:
        said[text_of(row)].add(row.is_up)
    clear = (row for row in rows if len(said[text_of(row)]) == 1)
    distinct = list({text_of(row): row for row in sorted(clear, key=lambda row: not row.is_up)}.values())
    ups = [row for row in distinct if row.is_up]
    downs = [row for row in distinct if not row.is_up]
    if not (ups and downs):
        return Thumbs([], distinct, len(rows) - len(distinct))
    ups = ups[: max(most // 2, most - len(downs))]
    ranked = [*ups, *downs[: most - len(ups)]]
    return Thumbs(ranked, [], len(rows) - len(ranked))
