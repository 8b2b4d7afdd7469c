"""Stanford Human Preferences: two comments on one post, and which of them readers voted up. https://huggingface.co/datasets/stanfordnlp/SHP

`labels` is 1 where comment A is preferred. A label that the scores contradict is refused. The post is the user.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from alignloop.data.formats.importer import Format, Found, Item, Refused, each, has
from alignloop.data.formats.record_builders import prompt, ranking


class Comments(BaseModel):
    post_id: str
    domain: str
    history: str
    human_ref_A: str
    human_ref_B: str
    score_A: int
    score_B: int
    labels: Literal[0, 1]


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Comments, lambda comments: _ranking(comments, source))


def _ranking(comments: Comments, source: str) -> Iterator[Found]:
    if (comments.score_A - comments.score_B) * (1 if comments.labels else -1) < 0:
        yield Refused("the label and the scores contradict each other")
        return
    asked = prompt(
        "shp", [("user", comments.history)], source, user=comments.post_id, category=comments.domain
    )
    yield ranking(
        "shp", asked, (comments.human_ref_A, comments.human_ref_B), (1, 2) if comments.labels else (2, 1)
    )


SHP = Format(
    "{post_id, history, human_ref_A, human_ref_B, score_A, score_B, labels}",
    lambda row: has(row, "history", "human_ref_A", "human_ref_B", "labels"),
    _read,
)
