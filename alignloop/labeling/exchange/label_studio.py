"""A round in Label Studio: tasks to import with a labeling interface of its ranker template, and its JSON export. https://labelstud.io/tags/ranker

The interface has a bucket for each rank. So ties can be given, which a Ranker without buckets cannot hold, and an answer that nobody moved
stays unranked, where a Ranker without buckets exports the order that was shown. Rankings of either kind come back.
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
from alignloop.labeling.exchange.items import ExchangeError, Offer, Said, known_here, known_there

TOOL = "label-studio"


class Shown(BaseModel):
    id: str
    body: str


class Asked(BaseModel):
    round: str
    key: str
    guidelines: str
    prompt: str
    items: list[Shown]


def write(path: Path, offers: Sequence[Offer], guidelines: str, people: Mapping[str, str]) -> list[Path]:
    """Write tasks for Label Studio's import, and its labeling interface beside them. Returns both files."""
    with replacing(path) as part:
        part.write_text(
            json.dumps([_task(offer, people) for offer in offers], ensure_ascii=False, indent=1) + "\n",
            encoding="utf-8",
        )
    interface = path.with_suffix(".xml")
    with replacing(interface) as part:
        part.write_text(
            _interface(max(len(offer.responses) for offer in offers), guidelines), encoding="utf-8"
        )
    return [path, interface]


def read(path: Path, people: Mapping[str, str]) -> Iterator[tuple[int, Offer | Refused]]:
    """The items of a JSON export with what annotators said of each, and what of it cannot be used, by line."""
    return convert_rows(path, Task, lambda task: _offer(task, people))


def _task(offer: Offer, people: Mapping[str, str]) -> dict[str, Any]:
    items = [
        {"id": str(place), "title": "ABCDEFGHI"[shown], "body": offer.responses[place]}
        for shown, place in enumerate(offer.presented)
    ]
    data = {
        "round": offer.round,
        "key": offer.key,
        "guidelines": offer.guidelines,
        "prompt": offer.prompt,
        "items": items,
    }
    return {"data": data, "annotations": [_annotation(said, people) for said in offer.said]}


def _annotation(said: Said, people: Mapping[str, str]) -> dict[str, Any]:
    person = known_there(said.labeler, people, "Label Studio")
    if not person.isdigit():
        raise ExchangeError(
            f"{said.labeler} is called '{person}' in --people, and Label Studio knows annotators by number"
        )
    buckets: dict[str, list[str]] = {}
    for rank in sorted(set(said.ranks or ())):
        buckets[f"rank-{rank}"] = [
            str(place) for place, given in enumerate(said.ranks or ()) if given == rank
        ]
    result = {
        "id": "order",
        "from_name": "rank",
        "to_name": "answers",
        "type": "ranker",
        "value": {"ranker": buckets},
    }
    shared = {"completed_by": int(person), "lead_time": said.seconds, "was_cancelled": said.ranks is None}
    return {**shared, "result": [result] if said.ranks else []}


def _interface(k: int, guidelines: str) -> str:
    buckets = "\n".join(
        f'    <Bucket name="rank-{rank}" title="{rank}{" best" if rank == 1 else ""}"/>'
        for rank in range(1, k + 1)
    )
    return f"""<View>
  <Collapse><Panel value="Guidelines"><Header value={quoteattr(guidelines)} size="5"/></Panel></Collapse>
  <Text name="prompt" value="$prompt"/>
  <List name="answers" value="$items" title="Not ranked yet: move each into a rank; two in one rank are a tie"/>
  <Ranker name="rank" toName="answers">
{buckets}
  </Ranker>
</View>
"""


def _offer(task: Task, people: Mapping[str, str]) -> Iterator[Offer | Refused]:
    asked = Asked.model_validate(task.data)
    texts = {item.id: item.body for item in asked.items}
    places = [str(place) for place in range(len(asked.items))]
    if sorted(texts) != sorted(places):
        yield Refused("its items are not those of a round that went out")
        return
    found = [_said(annotation, places, people) for annotation in task.annotations]
    yield from (said for said in found if isinstance(said, Refused))
    yield Offer(
        asked.round,
        asked.key,
        asked.prompt,
        tuple(texts[place] for place in places),
        tuple(int(item.id) for item in asked.items),
        asked.guidelines,
        tuple(said for said in found if isinstance(said, Said)),
    )


def _said(annotation: Annotation, places: Sequence[str], people: Mapping[str, str]) -> Said | Refused:
    labeler = known_here(annotation.annotator, people, TOOL)
    if annotation.annotator is None or labeler is None:
        return Refused("nobody is named as its annotator")
    seconds = annotation.lead_time or 0.0
    if annotation.was_cancelled:
        return Said(labeler, None, seconds, "skipped in Label Studio")
    judged = [
        result for result in annotation.result if isinstance(result, Result) and result.type == "ranker"
    ]
    if len(judged) != 1:
        return Refused("not one ranker result: nothing was moved, or the interface is another")
    ranks = item_ranks(judged[0])
    if isinstance(ranks, Refused):
        return ranks
    if sorted(ranks) != sorted(places):
        return Refused("items left unranked, or items of another task")
    return Said(labeler, tuple(ranks[place] for place in places), seconds)
