"""A round in Argilla: records and settings for its HTTP API, and records as that API gives them back. https://docs.argilla.io

Argilla's SDK drops the ranks of a ranking question, both ways; what it exported is refused with the way to the records that have them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from alignloop.data.formats.argilla import RANKLESS, Row, option_ranks, page_records
from alignloop.data.formats.importer import Refused, convert_rows, ranks_of
from alignloop.files import replacing, write_json
from alignloop.labeling.exchange.items import ExchangeError, Offer, Said, known_here, known_there

TOOL = "argilla"
PAGE = 500  # records that one request to `records/bulk` may carry
LONGEST = 10_000  # characters of a data set's guidelines
QUESTION = "ranking"


class Response(BaseModel):
    values: dict[str, dict[str, Any]] | None
    status: str
    user_id: str | None
    inserted_at: str = ""
    updated_at: str = ""


class Filed(BaseModel):
    round: str
    presented: str
    guidelines: str


class Recorded(BaseModel):
    external_id: str
    fields: dict[str, str]
    metadata: Filed
    responses: list[Response] | None


def write(path: Path, offers: Sequence[Offer], guidelines: str, people: Mapping[str, str]) -> list[Path]:
    """Write a line for each request to `records/bulk`, and the data set's settings beside them. Returns both files."""
    sizes = {len(offer.responses) for offer in offers}
    if len(sizes) > 1:
        raise ExchangeError(
            f"the items have {' and '.join(map(str, sorted(sizes)))} answers, and a data set of Argilla asks for one number"
        )
    items = [_record(offer, people) for offer in offers]
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        for start in range(0, len(items), PAGE):
            file.write(json.dumps({"items": items[start : start + PAGE]}, ensure_ascii=False) + "\n")
    settings = path.with_suffix(".settings.json")
    write_json(settings, _settings(sizes.pop(), guidelines))
    return [path, settings]


def read(path: Path, people: Mapping[str, str]) -> Iterator[tuple[int, Offer | Refused]]:
    """The items of records, alone or in pages, with what annotators said of each, and what of it cannot be used, by line."""
    return convert_rows(
        path,
        Row,
        lambda row: (found for record in page_records(row.root) for found in _offer(record, people)),
    )


def _record(offer: Offer, people: Mapping[str, str]) -> dict[str, Any]:
    answers = {_field(shown): offer.responses[place] for shown, place in enumerate(offer.presented)}
    metadata = {
        "round": offer.round,
        "presented": ",".join(map(str, offer.presented)),
        "guidelines": offer.guidelines,
    }
    said = [_response(each, offer.presented, people) for each in offer.said]
    return {
        "external_id": offer.key,
        "fields": {"prompt": offer.prompt, **answers},
        "metadata": metadata,
        "responses": said,
    }


def _response(said: Said, presented: Sequence[int], people: Mapping[str, str]) -> dict[str, Any]:
    person = known_there(said.labeler, people, "Argilla")
    try:
        UUID(person)
    except ValueError:
        raise ExchangeError(
            f"{said.labeler} is called '{person}' in --people, and Argilla knows users by UUID"
        ) from None
    if said.ranks is None:
        return {"user_id": person, "status": "discarded", "values": None}
    value = [{"value": _field(shown), "rank": said.ranks[place]} for shown, place in enumerate(presented)]
    return {"user_id": person, "status": "submitted", "values": {QUESTION: {"value": value}}}


def _settings(k: int, guidelines: str) -> dict[str, Any]:
    text = {"type": "text", "use_markdown": False}
    fields = [("prompt", "Prompt"), *((_field(shown), f"Answer {'ABCDEFGHI'[shown]}") for shown in range(k))]
    choices = [{"value": _field(shown), "text": f"Answer {'ABCDEFGHI'[shown]}"} for shown in range(k)]
    title = "Rank the answers: 1 is the best, equal ranks are ties"
    return {
        "dataset": {"guidelines": guidelines[:LONGEST], "allow_extra_metadata": True},
        "fields": [
            {"name": name, "title": title, "required": True, "settings": text} for name, title in fields
        ],
        "questions": [
            {
                "name": QUESTION,
                "title": title,
                "required": True,
                "settings": {"type": "ranking", "options": choices},
            }
        ],
    }


def _field(shown: int) -> str:
    return f"answer-{shown + 1}"


def _offer(row: dict[str, Any], people: Mapping[str, str]) -> Iterator[Offer | Refused]:
    if isinstance(row.get("responses"), dict) or any(name.endswith(".responses") for name in row):
        yield Refused(RANKLESS)
        return
    record = Recorded.model_validate(row)
    presented = [int(place) for place in record.metadata.presented.split(",") if place.isdigit()]
    names = [
        _field(presented.index(place)) for place in sorted(presented)
    ]  # of the fields, in the responses' own order
    if sorted(presented) != list(range(len(presented))) or {*names, "prompt"} != record.fields.keys():
        yield Refused("its fields are not those of a round that went out")
        return
    if record.responses is None:
        yield Refused("no responses with it; fetch the records with `?include=responses`")
        return
    found = [_said(response, names, people) for response in record.responses if response.status != "draft"]
    yield from (said for said in found if isinstance(said, Refused))
    yield Offer(
        record.metadata.round,
        record.external_id,
        record.fields["prompt"],
        tuple(record.fields[name] for name in names),
        tuple(presented),
        record.metadata.guidelines,
        tuple(said for said in found if isinstance(said, Said)),
    )


def _said(response: Response, names: Sequence[str], people: Mapping[str, str]) -> Said | Refused:
    labeler = known_here(response.user_id, people, TOOL)
    if response.user_id is None or labeler is None:
        return Refused("a response by nobody: its user was deleted")
    seconds = _seconds(response.inserted_at, response.updated_at)
    if response.status != "submitted":
        return Said(labeler, None, seconds, "discarded in Argilla")
    value = (response.values or {}).get(QUESTION, {}).get("value")
    ranks = option_ranks(value)
    if sorted(ranks) != sorted(names):
        ranked = isinstance(value, list) and all(isinstance(each, dict) for each in value)
        return Refused("options left unranked, or of another question" if ranked else RANKLESS)
    return Said(labeler, ranks_of([ranks[name] for name in names]), seconds)


def _seconds(begun: str, ended: str) -> float:
    """From the first draft to the submission, as Argilla's clock has it; 0 where it does not say."""
    try:
        return max(
            0.0, round((datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds(), 3)
        )
    except (ValueError, TypeError):
        return 0.0
