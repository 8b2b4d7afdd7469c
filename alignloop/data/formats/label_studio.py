"""Label Studio's JSON export: annotators ranked a list of responses (Ranker) or chose one of two (Pairwise).

https://labelstud.io/tags/ranker

The prompt is `data.prompt` (or question, instruction, query, text). A Ranker's responses are the items of
the list whose ids it orders; a Pairwise's are the fields that `to_name` names, or one of PAIRS. Each
annotation is a ranking; its annotator is identified by number, never by e-mail address. Versions write an
order in three shapes (see `item_ranks`); buckets that are named by ranks hold ties. Refused are skipped
annotations, unranked items, and items in buckets with other names, which have no order.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    Refused,
    convert_rows,
    has_keys,
    ranks_of,
)
from alignloop.data.formats.record_builders import chat_turns, prompt, ranking
from alignloop.records import Prompt

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
UNRANKED = "_"  # the bucket of items that were never moved
BUCKET = re.compile(r"(?:rank[ _-]?)?([1-9][0-9]?)")


class User(BaseModel):
    id: int


class Value(BaseModel):
    ranker: list[str | int] | dict[str, list[str | int]] | None = None
    selected: str | None = None


class Result(BaseModel):
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


class Task(BaseModel):
    id: int | str = ""
    data: dict[str, Any]
    annotations: list[Annotation]


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Task, lambda task: _rankings(task, source))


def _rankings(task: Task, source: str) -> Iterator[Imported]:
    turns = next((said for key in PROMPTS if (said := chat_turns(task.data.get(key)))), None)
    if turns is None:
        yield Refused("no prompt: none of the fields prompt, question, instruction, query, text holds any")
    elif not task.annotations:
        yield Refused("nobody has annotated it")
    else:
        row_prompt = prompt("label-studio", turns, source)
        yield from (_ranking(task, annotation, row_prompt) for annotation in task.annotations)


def _ranking(task: Task, annotation: Annotation, row_prompt: Prompt) -> Imported:
    if annotation.was_cancelled:
        return Refused("the annotator skipped it")
    if annotation.annotator is None:
        return Refused("nobody is named as its annotator")
    results = [
        result
        for result in annotation.result
        if isinstance(result, Result) and result.type in ("ranker", "pairwise")
    ]
    if len(results) != 1:
        return Refused("not one ranker or pairwise result")
    ranked = (_ordered if results[0].type == "ranker" else _chosen)(results[0], task.data)
    if isinstance(ranked, Refused):
        return ranked
    responses, ranks = ranked
    return ranking(
        "label-studio",
        row_prompt,
        responses,
        ranks,
        labeler=f"label-studio-{annotation.annotator}",
        row=str(task.id),
    )


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


def _ordered(result: Result, data: dict[str, Any]) -> tuple[list[str], tuple[int, ...]] | Refused:
    ranks = item_ranks(result)
    if isinstance(ranks, Refused):
        return ranks
    for items in data.values():
        if not (isinstance(items, list) and items and all(has_keys(item, "id") for item in items)):
            continue
        ids, texts = [str(item["id"]) for item in items], [item.get("body") for item in items]
        if set(ids) >= ranks.keys():
            if sorted(ids) != sorted(ranks):
                return Refused("not every item stands once in the order")
            if not all(isinstance(text, str) for text in texts):
                return Refused("an item without a text, `body`")
            return texts, tuple(ranks[id] for id in ids)
    return Refused("no list among the fields holds the items that are ordered")


def _chosen(result: Result, data: dict[str, Any]) -> tuple[list[str], tuple[int, ...]] | Refused:
    named = tuple(name.strip() for name in result.to_name.split(","))
    responses = next(
        (
            [data[key] for key in pair]
            for pair in (named, *PAIRS)
            if len(pair) == 2 and all(key in data for key in pair)
        ),
        None,
    )
    if responses is None or not all(isinstance(response, str) for response in responses):
        return Refused("no two answers: neither `to_name` nor a known pair of fields holds texts")
    if result.value.selected not in RANKS:
        return Refused("neither left nor right was selected")
    return responses, RANKS[result.value.selected]


LABEL_STUDIO = Format(
    "{data: {prompt, …}, annotations: [{result: [{type: ranker or pairwise, value}]}]}",
    lambda row: has_keys(row, "data", "annotations"),
    _read,
)
