"""Rounds in Label Studio: tasks with a labeling interface of its ranker template, and its JSON export.

https://labelstud.io/tags/ranker. The interface has a bucket for each rank. It can express ties, and a
response that was not moved stays unranked; a Ranker without buckets has no ties and exports the order
shown. Both kinds of export can be imported.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from pydantic import BaseModel

from alignloop.data.formats.importer import Refused, convert_rows
from alignloop.data.formats.label_studio import Annotation, Result, Task, item_ranks
from alignloop.files import replacing
from alignloop.labeling.exchange.items import (
    ExchangeError,
    ExchangeItem,
    LabelerRanking,
    external_id,
    labeler_id,
)

TOOL = "label-studio"
EQUAL_ONCE = True  # equal responses to a prompt are one response of its task


class RankerItem(BaseModel):
    """One response of a task; `id` is its index in the item."""

    id: str
    body: str


class TaskData(BaseModel):
    """The data with which a task was exported."""

    round: str
    key: str
    guidelines: str
    prompt: str
    items: list[RankerItem]


def write(
    path: Path, items: Sequence[ExchangeItem], guidelines: str, people: Mapping[str, str]
) -> list[Path]:
    """Write tasks for Label Studio's import, and its labeling interface. Returns both files."""
    with replacing(path) as part:
        part.write_text(
            json.dumps([_task(item, people) for item in items], ensure_ascii=False, indent=1) + "\n",
            encoding="utf-8",
        )
    interface = path.with_suffix(".xml")
    with replacing(interface) as part:
        part.write_text(_interface(max(len(item.responses) for item in items), guidelines), encoding="utf-8")
    return [path, interface]


def read(path: Path, people: Mapping[str, str]) -> Iterator[tuple[int, ExchangeItem | Refused]]:
    """The items of a JSON export with their rankings, and what is refused, by line number."""
    return convert_rows(path, Task, lambda task: _items(task, people), aside=None)


def _task(item: ExchangeItem, people: Mapping[str, str]) -> dict[str, Any]:
    responses = [
        {"id": str(place), "title": "ABCDEFGHI"[shown], "body": item.responses[place]}
        for shown, place in enumerate(item.presented)
    ]
    data = {
        "round": item.round,
        "key": item.key,
        "guidelines": item.guidelines,
        "prompt": item.prompt,
        "items": responses,
    }
    return {"data": data, "annotations": [_annotation(ranking, people) for ranking in item.rankings]}


def _annotation(ranking: LabelerRanking, people: Mapping[str, str]) -> dict[str, Any]:
    person = external_id(ranking.labeler, people, "Label Studio")
    if not person.isdigit():
        raise ExchangeError(
            f"{ranking.labeler}: the ID in --people must be a number for Label Studio, got '{person}'"
        )
    buckets: dict[str, list[str]] = {}
    for rank in sorted(set(ranking.ranks or ())):
        buckets[f"rank-{rank}"] = [str(place) for place, own in enumerate(ranking.ranks or ()) if own == rank]
    result = {
        "id": "order",
        "from_name": "rank",
        "to_name": "answers",
        "type": "ranker",
        "value": {"ranker": buckets},
    }
    shared = {
        "completed_by": int(person),
        "lead_time": ranking.seconds,
        "was_cancelled": ranking.ranks is None,
    }
    return {**shared, "result": [result] if ranking.ranks else []}


def _interface(k: int, guidelines: str) -> str:
    buckets = "\n".join(
        f'    <Bucket name="rank-{rank}" title="{rank}{" best" if rank == 1 else ""}"/>'
        for rank in range(1, k + 1)
    )
    return f"""<View>
  <Collapse><Panel value="Guidelines"><Header value={quoteattr(guidelines)} size="5"/></Panel></Collapse>
  <Text name="prompt" value="$prompt"/>
  <List name="answers" value="$items" \
title="Not ranked yet: move each into a rank; two in one rank are a tie"/>
  <Ranker name="rank" toName="answers">
{buckets}
  </Ranker>
</View>
"""


def _items(task: Task, people: Mapping[str, str]) -> Iterator[ExchangeItem | Refused]:
    data = TaskData.model_validate(task.data)
    texts = {item.id: item.body for item in data.items}
    places = [str(place) for place in range(len(data.items))]
    if sorted(texts) != sorted(places):
        yield Refused("its items are not those of an exported round")
        return
    rankings = [_ranking(annotation, places, people) for annotation in task.annotations]
    yield from (ranking for ranking in rankings if isinstance(ranking, Refused))
    yield ExchangeItem(
        round=data.round,
        key=data.key,
        prompt=data.prompt,
        responses=tuple(texts[place] for place in places),
        presented=tuple(int(item.id) for item in data.items),
        guidelines=data.guidelines,
        rankings=tuple(ranking for ranking in rankings if isinstance(ranking, LabelerRanking)),
    )


def _ranking(
    annotation: Annotation, places: Sequence[str], people: Mapping[str, str]
) -> LabelerRanking | Refused:
    labeler = labeler_id(annotation.annotator, people, TOOL)
    if annotation.annotator is None or labeler is None:
        return Refused("the annotation names no annotator")
    seconds = annotation.lead_time or 0.0
    if annotation.was_cancelled:
        return LabelerRanking(labeler, None, seconds, "skipped in Label Studio")
    results = [
        result for result in annotation.result if isinstance(result, Result) and result.type == "ranker"
    ]
    if len(results) != 1:
        return Refused("expected one ranker result: nothing was moved, or the interface is another")
    ranks = item_ranks(results[0])
    if isinstance(ranks, Refused):
        return ranks
    if sorted(ranks) != sorted(places):
        return Refused("items are unranked, or belong to another task")
    return LabelerRanking(labeler, tuple(ranks[place] for place in places), seconds)
