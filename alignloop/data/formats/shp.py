"""Stanford Human Preferences: two comments on a post, and which of them readers preferred by their votes.

https://huggingface.co/datasets/stanfordnlp/SHP

`labels` is 1 where comment A is preferred. A label that contradicts the scores is refused. The post
identifies the user.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator

from alignloop.data.formats.importer import Format, Imported, ImportedRow, Refused, convert_rows, has_keys
from alignloop.data.formats.record_builders import prompt, ranking
from alignloop.data.formats.written_values import WrittenId, WrittenInt, WrittenText, as_number

ASIDE = (
    "upvote_ratio",
    "created_at_utc_A",
    "created_at_utc_B",
    "c_root_id_A",
    "c_root_id_B",
    "seconds_difference",
    "score_ratio",
)


class Comments(BaseModel):
    post_id: WrittenId = ""
    domain: str | None = ""
    history: WrittenText
    human_ref_A: WrittenText
    human_ref_B: WrittenText
    score_A: WrittenInt
    score_B: WrittenInt
    labels: Annotated[Literal[0, 1], BeforeValidator(as_number)]


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Comments, lambda comments: _ranking(comments, source), ASIDE)


def _ranking(comments: Comments, source: str) -> Iterator[Imported]:
    if (comments.score_A - comments.score_B) * (1 if comments.labels else -1) < 0:
        yield Refused("the label and the scores contradict each other")
        return
    row_prompt = prompt(
        "shp", [("user", comments.history)], source, user=comments.post_id, category=comments.domain or ""
    )
    yield ranking(
        "shp", row_prompt, (comments.human_ref_A, comments.human_ref_B), (1, 2) if comments.labels else (2, 1)
    )


SHP = Format(
    "{post_id, history, human_ref_A, human_ref_B, score_A, score_B, labels}",
    lambda row: has_keys(row, "history", "human_ref_A", "human_ref_B", "labels"),
    _read,
)
