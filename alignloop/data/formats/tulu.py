"""Tulu's human evaluation: named evaluators compared the responses of two models on a scale of five.

https://github.com/allenai/open-instruct

The source is a worksheet as CSV. A ranking cannot express how much better a response is, so slight
preferences count as changed. Whether a response is acceptable is not read. The time, days since
1899-12-30 in the sheet, becomes a date.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    Refused,
    convert_rows,
    has_keys,
    with_changes,
)
from alignloop.data.formats.record_builders import prompt, ranking
from alignloop.data.formats.role_marks import asked
from alignloop.data.formats.written_values import WrittenId, WrittenText

ASIDE = (
    "instance_index",
    "model_a",
    "model_b",
    "completion_a_is_acceptable",
    "completion_b_is_acceptable",
    "instance_quality",
    "comment",
)
RANKS = {
    "a-is-better": (1, 2),
    "a-is-slightly-better": (1, 2),
    "tie": (1, 1),
    "b-is-slightly-better": (2, 1),
    "b-is-better": (2, 1),
}
EPOCH, LATEST = datetime(1899, 12, 30), 100_000  # days; in the year 2173


class Comparison(BaseModel):
    id: WrittenId = ""
    prompt: WrittenText
    completion_a: WrittenText
    completion_b: WrittenText
    preference: Literal["a-is-better", "a-is-slightly-better", "tie", "b-is-slightly-better", "b-is-better"]
    evaluator: WrittenId
    timestamp: WrittenId = ""


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Comparison, lambda comparison: _ranking(comparison, source), ASIDE)


def _ranking(comparison: Comparison, source: str) -> Iterator[Imported]:
    if not comparison.evaluator.strip():
        yield Refused("no evaluator is named")
        return
    row_prompt = prompt("tulu", asked(comparison.prompt), source, time=_time(comparison.timestamp))
    responses = (comparison.completion_a, comparison.completion_b)
    record = ranking(
        "tulu",
        row_prompt,
        responses,
        RANKS[comparison.preference],
        labeler=f"tulu-{comparison.evaluator.strip()}",
        row=comparison.id,
    )
    yield with_changes(
        record, "a slight preference counts as one" if "slightly" in comparison.preference else None
    )


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
    lambda row: has_keys(row, "completion_a", "completion_b", "preference", "evaluator"),
    _read,
)
