"""Tulu's human evaluation: named evaluators compared two models' answers on a scale of five. https://github.com/allenai/open-instruct

A worksheet as CSV. The scale's strength (better, slightly better) is lost in a ranking, so the slight ones count as changed;
`tie` is a tie. Whether an answer is acceptable is not read. The time, days since 1899-12-30 in the sheet, becomes a date.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Found, Item, Refused, changed, each, has
from alignloop.data.formats.record_builders import prompt, ranking

RANKS = {
    "a-is-better": (1, 2),
    "a-is-slightly-better": (1, 2),
    "tie": (1, 1),
    "b-is-slightly-better": (2, 1),
    "b-is-better": (2, 1),
}
EPOCH, LATEST = datetime(1899, 12, 30), 100_000  # days; in the year 2173


class Comparison(BaseModel):
    id: str
    prompt: str
    completion_a: str
    completion_b: str
    preference: Literal["a-is-better", "a-is-slightly-better", "tie", "b-is-slightly-better", "b-is-better"]
    evaluator: str
    timestamp: str


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Comparison, lambda comparison: _ranking(comparison, source))


def _ranking(given: Comparison, source: str) -> Iterator[Found]:
    if not given.evaluator.strip():
        yield Refused("no evaluator is named")
        return
    asked = prompt("tulu", [("user", given.prompt)], source, time=_time(given.timestamp))
    answers = (given.completion_a, given.completion_b)
    made = ranking(
        "tulu",
        asked,
        answers,
        RANKS[given.preference],
        labeler=f"tulu-{given.evaluator.strip()}",
        row=given.id,
    )
    yield changed(made, "a slight preference counts as one" if "slightly" in given.preference else None)


def _time(days: str) -> str:
    try:
        since = float(days)
    except ValueError:
        return days.strip()
    return (
        (EPOCH + timedelta(days=since)).isoformat(timespec="seconds") if 0 <= since < LATEST else days.strip()
    )


TULU = Format(
    "a table of prompt, completion_a, completion_b, preference, evaluator, timestamp",
    lambda row: has(row, "completion_a", "completion_b", "preference", "evaluator"),
    _read,
)
