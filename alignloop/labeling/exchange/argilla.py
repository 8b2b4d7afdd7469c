"""Rounds in Argilla: records and settings for its HTTP API, and records as that API returns them.

https://docs.argilla.io. Argilla's SDK drops the ranks of a ranking question in both directions; its
exports are refused with a message that says how to fetch the records with their ranks.
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
from alignloop.labeling.exchange.items import (
    ExchangeError,
    ExchangeItem,
    LabelerRanking,
    external_id,
    labeler_id,
)

TOOL = "argilla"
EQUAL_ONCE = False  # every record of a data set must have as many responses as the others
MAX_RECORDS = 500  # per request to `records/bulk`
MAX_GUIDELINES = 10_000  # characters of a data set's guidelines
QUESTION = "ranking"


class Response(BaseModel):
    """A user's response to a record, as the API returns it."""

    values: dict[str, dict[str, Any]] | None
    status: str
    user_id: str | None
    inserted_at: str = ""
    updated_at: str = ""


class Metadata(BaseModel):
    """The metadata with which a record was exported."""

    round: str
    presented: str
    guidelines: str


class Record(BaseModel):
    """A record, as the API returns it."""

    external_id: str
    fields: dict[str, str]
    metadata: Metadata
    responses: list[Response] | None


def write(
    path: Path, items: Sequence[ExchangeItem], guidelines: str, people: Mapping[str, str]
) -> list[Path]:
    """Write a line for each request to `records/bulk`, and the data set's settings. Returns both files."""
    sizes = {len(item.responses) for item in items}
    if len(sizes) > 1:
        raise ExchangeError(
            f"the items have {' and '.join(map(str, sorted(sizes)))} responses, "
            "and a data set of Argilla must have one number of them; export the round to Label Studio instead"
        )
    records = [_record(item, people) for item in items]
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        for start in range(0, len(records), MAX_RECORDS):
            file.write(json.dumps({"items": records[start : start + MAX_RECORDS]}, ensure_ascii=False) + "\n")
    settings = path.with_suffix(".settings.json")
    write_json(settings, _settings(sizes.pop(), guidelines))
    return [path, settings]


def read(path: Path, people: Mapping[str, str]) -> Iterator[tuple[int, ExchangeItem | Refused]]:
    """The items of exported records with their rankings, and what is refused, by line number.

    A line holds one record, or one page of them.
    """
    return convert_rows(
        path,
        Row,
        lambda row: (item for record in page_records(row.root) for item in _items(record, people)),
        aside=None,
    )


def _record(item: ExchangeItem, people: Mapping[str, str]) -> dict[str, Any]:
    responses = {_field(shown): item.responses[place] for shown, place in enumerate(item.presented)}
    metadata = {
        "round": item.round,
        "presented": ",".join(map(str, item.presented)),
        "guidelines": item.guidelines,
    }
    rankings = [_response(ranking, item.presented, people) for ranking in item.rankings]
    return {
        "external_id": item.key,
        "fields": {"prompt": item.prompt, **responses},
        "metadata": metadata,
        "responses": rankings,
    }


def _response(ranking: LabelerRanking, presented: Sequence[int], people: Mapping[str, str]) -> dict[str, Any]:
    person = external_id(ranking.labeler, people, "Argilla")
    try:
        UUID(person)
    except ValueError:
        raise ExchangeError(
            f"{ranking.labeler}: the ID in --people must be a UUID for Argilla, got '{person}'"
        ) from None
    if ranking.ranks is None:
        return {"user_id": person, "status": "discarded", "values": None}
    value = [{"value": _field(shown), "rank": ranking.ranks[place]} for shown, place in enumerate(presented)]
    return {"user_id": person, "status": "submitted", "values": {QUESTION: {"value": value}}}


def _settings(k: int, guidelines: str) -> dict[str, Any]:
    text = {"type": "text", "use_markdown": False}
    fields = [
        ("prompt", "Prompt"),
        *((_field(shown), f"Response {'ABCDEFGHI'[shown]}") for shown in range(k)),
    ]
    choices = [{"value": _field(shown), "text": f"Response {'ABCDEFGHI'[shown]}"} for shown in range(k)]
    title = "Rank the responses: 1 is the best, equal ranks are ties"
    return {
        "dataset": {"guidelines": guidelines[:MAX_GUIDELINES], "allow_extra_metadata": True},
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


def _items(row: dict[str, Any], people: Mapping[str, str]) -> Iterator[ExchangeItem | Refused]:
    if isinstance(row.get("responses"), dict) or any(name.endswith(".responses") for name in row):
        yield Refused(RANKLESS)
        return
    record = Record.model_validate(row)
    presented = [int(place) for place in record.metadata.presented.split(",") if place.isdigit()]
    # names of the fields in the order of the item's responses
    names = [_field(presented.index(place)) for place in sorted(presented)]
    if sorted(presented) != list(range(len(presented))) or {*names, "prompt"} != record.fields.keys():
        yield Refused("its fields are not those of an exported round")
        return
    if record.responses is None:
        yield Refused("the record has no responses; fetch the records with `?include=responses`")
        return
    rankings = [_ranking(each, names, people) for each in record.responses if each.status != "draft"]
    yield from (ranking for ranking in rankings if isinstance(ranking, Refused))
    yield ExchangeItem(
        round=record.metadata.round,
        key=record.external_id,
        prompt=record.fields["prompt"],
        responses=tuple(record.fields[name] for name in names),
        presented=tuple(presented),
        guidelines=record.metadata.guidelines,
        rankings=tuple(ranking for ranking in rankings if isinstance(ranking, LabelerRanking)),
    )


def _ranking(response: Response, names: Sequence[str], people: Mapping[str, str]) -> LabelerRanking | Refused:
    labeler = labeler_id(response.user_id, people, TOOL)
    if response.user_id is None or labeler is None:
        return Refused("the response has no user: the user was deleted")
    seconds = _seconds(response.inserted_at, response.updated_at)
    if response.status != "submitted":
        return LabelerRanking(labeler, None, seconds, "discarded in Argilla")
    value = (response.values or {}).get(QUESTION, {}).get("value")
    ranks = option_ranks(value)
    if sorted(ranks) != sorted(names):
        has_ranks = isinstance(value, list) and all(isinstance(each, dict) for each in value)
        return Refused("options are unranked, or belong to another question" if has_ranks else RANKLESS)
    return LabelerRanking(labeler, ranks_of([ranks[name] for name in names]), seconds)


def _seconds(started: str, ended: str) -> float:
    """Seconds from the first draft to the submission by Argilla's clock; 0 if a time is missing."""
    try:
        return max(
            0.0, round((datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds(), 3)
        )
    except (ValueError, TypeError):
        return 0.0
