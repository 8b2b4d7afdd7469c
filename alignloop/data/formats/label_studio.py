"""Label Studio's JSON export: annotators ranked responses, chose one of two, or rated each.

https://labelstud.io/tags/ranker

The prompt is `data.prompt` (or question, instruction, query, text). A Ranker's responses are the items of
the list whose ids it orders; a Pairwise's are the fields that `to_name` names, or one of PAIRS; a response
that has a Rating or Number of its own is the field that `to_name` names, and the highest is the best. Each
annotation is a ranking; its annotator is identified by number, never by e-mail address. Versions write an
order in three shapes (see `item_ranks`); buckets that are named by ranks hold ties. Refused are skipped
annotations, unranked items, items in buckets with other names, which have no order, and other fields of
`data` that are not metadata.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from alignloop.data.formats import unread_fields
from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    Refused,
    convert_rows,
    has_keys,
    ranks_of,
    with_changes,
)
from alignloop.data.formats.record_builders import chat_turns, prompt, ranking
from alignloop.data.formats.refused_rows import Withdrawn
from alignloop.data.formats.written_values import WrittenId, WrittenNumber

PROMPTS = ("prompt", "question", "instruction", "query", "text")
PAIRS = (
    ("answer1", "answer2"),
    ("answer_1", "answer_2"),
    ("response1", "response2"),
    ("response_1", "response_2"),
    ("answer_a", "answer_b"),
    ("response_a", "response_b"),
    ("text1", "text2"),
    ("summary1", "summary2"),
    ("left", "right"),
)
RANKS = {"left": (1, 2), "right": (2, 1)}
ITEM = ("id", "title", "body")  # of a Ranker's list
UNRANKED = "_"  # the bucket of items that were never moved
BUCKET = re.compile(r"(?:rank[ _-]?)?([1-9][0-9]?)")


# what the export says about tasks, annotations and annotators, and our own tasks about the round
ASIDE = frozenset(
    re.findall(
        r"\w+",
        """
agreement allow_skip avatar bulk_created cancelled_annotations comment_authors comment_count draft_created_at
drafts email file_upload first_name ground_truth guidelines initials inner_id last_action last_created_by
last_name meta origin parent_annotation parent_prediction phone prediction predictions project result_count
round task total_annotations total_predictions unresolved_comment_count updated_by username was_postponed
""",
    )
)


class User(BaseModel):
    id: int


class Value(BaseModel, extra="allow"):
    ranker: list[str | int] | dict[str, list[str | int]] | None = None
    selected: str | None = None
    rating: WrittenNumber | None = None
    number: WrittenNumber | None = None


class Result(BaseModel, extra="allow"):
    type: str
    value: Value
    from_name: str = ""
    to_name: str = ""


class Annotation(BaseModel):
    result: list[Result | dict[str, Any]]
    completed_by: int | User | None = None
    was_cancelled: bool = False
    lead_time: float | None = None  # seconds

    @property
    def annotator(self) -> int | None:
        """The number of the annotator."""
        return self.completed_by.id if isinstance(self.completed_by, User) else self.completed_by


class Ranked(NamedTuple):
    """The responses with their ranks, the fields of `data` that hold them, and what was left out."""

    responses: list[str]
    ranks: tuple[int, ...]
    fields: list[str]
    left_out: str | None = None


class Task(BaseModel):
    id: WrittenId = ""
    data: dict[str, Any]
    annotations: list[Annotation]


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Task, lambda task: _rankings(task, source), ASIDE)


def _rankings(task: Task, source: str) -> Iterator[Imported]:
    name = next((key for key in PROMPTS if chat_turns(task.data.get(key))), "")
    turns = chat_turns(task.data.get(name))
    if turns is None:
        yield Refused("no prompt: none of the fields prompt, question, instruction, query, text holds any")
    elif not task.annotations:
        yield Refused("nobody has annotated it")
    else:
        row_prompt = prompt("label-studio", turns, source)
        for annotation in task.annotations:
            ranked = _ranked(annotation, task.data)
            if isinstance(ranked, Refused):
                yield ranked
            elif lost := unread_fields.beside(task.data, {name, *ranked.fields}, ASIDE):
                yield Refused(unread_fields.reason(lost))
            else:
                record = ranking(
                    "label-studio",
                    row_prompt,
                    ranked.responses,
                    ranked.ranks,
                    labeler=f"label-studio-{annotation.annotator}",
                    row=task.id,
                )
                yield with_changes(record, ranked.left_out)


def _ranked(annotation: Annotation, data: dict[str, Any]) -> Ranked | Refused:
    """What an annotation ranks: by its one Ranker or Pairwise, or else by the ratings of single responses."""
    if annotation.was_cancelled:
        return Withdrawn("the annotator skipped it")
    if annotation.annotator is None:
        return Refused("nobody is named as its annotator")
    results = [result for result in annotation.result if isinstance(result, Result)]
    orders = [result for result in results if result.type in ("ranker", "pairwise")]
    ratings = [result for result in results if result.type in ("rating", "number")]
    if len(orders) == 1:
        ranked = (_ordered if orders[0].type == "ranker" else _chosen)(orders[0], data)
        used = orders
    elif not orders and ratings:
        ranked, used = _rated(ratings, data), ratings
    else:
        return Refused("not one ranker or pairwise result, nor ratings")
    others = sorted({_type(result) for result in annotation.result if result not in used})
    if isinstance(ranked, Refused) or not others:
        return ranked
    return ranked._replace(left_out=f"other results of the annotation left out: {', '.join(others)}")


def _type(result: Result | dict[str, Any]) -> str:
    return (result.type if isinstance(result, Result) else str(result.get("type")))[:40]


def item_ranks(result: Result) -> dict[str, int] | Refused:
    """The ranks of the items by their ids.

    The ids are in a list, in a list under the Ranker's name, or in buckets that are named by ranks.
    """
    ranker = result.value.ranker or {}
    lists = {result.from_name: ranker} if isinstance(ranker, list) else ranker
    buckets = {name: [str(id) for id in ids] for name, ids in lists.items() if ids}
    if UNRANKED in buckets:
        return Refused("items left unranked")
    ids = [id for bucket in buckets.values() for id in bucket]
    if len(set(ids)) != len(ids):
        return Refused("not every item stands once in the order")
    names = [BUCKET.fullmatch(name) for name in buckets]
    if buckets and all(names) and [*buckets] != [result.from_name]:
        bucket_ranks = ranks_of([int(name[1]) for name in names if name])
        return {
            id: rank for rank, bucket in zip(bucket_ranks, buckets.values(), strict=True) for id in bucket
        }
    if len(buckets) != 1:
        return Refused("items in several buckets, or in none: no order")
    return {id: rank for rank, id in enumerate(ids, 1)}


def _ordered(result: Result, data: dict[str, Any]) -> Ranked | Refused:
    ranks = item_ranks(result)
    if isinstance(ranks, Refused):
        return ranks
    for name, items in data.items():
        if not (isinstance(items, list) and items and all(has_keys(item, "id") for item in items)):
            continue
        ids, texts = [str(item["id"]) for item in items], [item.get("body") for item in items]
        if set(ids) >= ranks.keys():
            if sorted(ids) != sorted(ranks):
                return Refused("not every item stands once in the order")
            if not all(isinstance(text, str) for text in texts):
                return Refused("an item without a text, `body`")
            if lost := [more for item in items for more in unread_fields.beside(item, ITEM)]:
                return Refused(unread_fields.reason(list(dict.fromkeys(lost))))
            return Ranked(texts, tuple(ranks[id] for id in ids), [name])
    return Refused("no list among the fields holds the items that are ordered")


def _chosen(result: Result, data: dict[str, Any]) -> Ranked | Refused:
    named = tuple(name.strip() for name in result.to_name.split(","))
    pair = next(
        (pair for pair in (named, *PAIRS) if len(pair) == 2 and all(key in data for key in pair)), None
    )
    if pair is None or not all(isinstance(data[key], str) for key in pair):
        return Refused("no two answers: neither `to_name` nor a known pair of fields holds texts")
    if result.value.selected not in RANKS:
        return Refused("neither left nor right was selected")
    return Ranked([data[key] for key in pair], RANKS[result.value.selected], list(pair))


def _rated(results: list[Result], data: dict[str, Any]) -> Ranked | Refused:
    names = [result.to_name for result in results]
    ratings = [
        result.value.rating if result.value.rating is not None else result.value.number for result in results
    ]
    if len(set(names)) < len(names):
        return Refused("several ratings of one response: no order")
    if len(names) < 2 or not all(isinstance(data.get(name), str) for name in names):
        return Refused("ratings of fewer than two fields, or `to_name` names no field that holds a text")
    values = [rating for rating in ratings if rating is not None]
    if len(values) < len(ratings):
        return Refused("a rating without a number")
    return Ranked([data[name] for name in names], ranks_of(values, "highest"), names)


LABEL_STUDIO = Format(
    "{data: {prompt, …}, annotations: [{result: [{type: ranker, pairwise or rating, value}]}]}",
    lambda row: has_keys(row, "data", "annotations"),
    _read,
)
