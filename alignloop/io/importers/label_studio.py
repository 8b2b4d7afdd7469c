"""Label Studio's JSON export: annotators ranked a list of answers (Ranker) or chose one of two (Pairwise). https://labelstud.io/tags/ranker

The prompt is `data.prompt` (or question, instruction, query, text). A Ranker's answers are the items of the list whose ids it orders; a
Pairwise' are what `to_name` names, or a pair of fields called so. Each annotation is a ranking; its annotator is known by number, never
by e-mail address. Refused are skipped annotations, items left unranked, and items sorted into several buckets, which is no order.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alignloop.io.importers.building import prompt, ranking
from alignloop.io.importers.item import Format, Found, Item, Refused, each, has
from alignloop.records import Prompt

PROMPTS = ("prompt", "question", "instruction", "query", "text")
PAIRS = (("answer1", "answer2"), ("answer_1", "answer_2"), ("response1", "response2"), ("response_1", "response_2"))
PAIRS += (("answer_a", "answer_b"), ("response_a", "response_b"), ("text1", "text2"), ("summary1", "summary2"), ("left", "right"))
RANKS = {"left": (1, 2), "right": (2, 1)}


class User(BaseModel):
    id: int


class Value(BaseModel):
    ranker: list[str | int] | dict[str, list[str | int]] | None = None
    selected: str | None = None


class Result(BaseModel):
    type: str
    value: Value
    to_name: str = ""


class Annotation(BaseModel):
    result: list[Result | dict[str, Any]]
    completed_by: int | User | None = None
    was_cancelled: bool = False


class Task(BaseModel):
    id: int | str = ""
    data: dict[str, Any]
    annotations: list[Annotation]


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Task, lambda task: _rankings(task, source))


def _rankings(task: Task, source: str) -> Iterator[Found]:
    text = next((said for key in PROMPTS if isinstance(said := task.data.get(key), str) and said.strip()), None)
    if text is None:
        yield Refused("no prompt: none of the fields prompt, question, instruction, query, text holds any")
    elif not task.annotations:
        yield Refused("nobody has annotated it")
    else:
        asked = prompt("label-studio", [("user", text)], source)
        yield from (_ranking(task, annotation, asked) for annotation in task.annotations)


def _ranking(task: Task, annotation: Annotation, asked: Prompt) -> Found:
    if annotation.was_cancelled:
        return Refused("the annotator skipped it")
    by = annotation.completed_by.id if isinstance(annotation.completed_by, User) else annotation.completed_by
    if by is None:
        return Refused("nobody is named as its annotator")
    judged = [result for result in annotation.result if isinstance(result, Result) and result.type in ("ranker", "pairwise")]
    if len(judged) != 1:
        return Refused("not one ranker or pairwise result")
    found = (_ordered if judged[0].type == "ranker" else _chosen)(judged[0], task.data)
    if isinstance(found, Refused):
        return found
    answers, ranks = found
    return ranking("label-studio", asked, answers, ranks, labeler=f"label-studio-{by}", row=str(task.id))


def _ordered(result: Result, data: dict[str, Any]) -> tuple[list[str], tuple[int, ...]] | Refused:
    given = result.value.ranker
    buckets = [given] if isinstance(given, list) else [ids for ids in (given or {}).values() if ids]
    if len(buckets) != 1:
        return Refused("items in several buckets, or in none: no order")
    order = [str(id) for id in buckets[0]]
    for items in data.values():
        if not (isinstance(items, list) and items and all(has(item, "id") for item in items)):
            continue
        ids, texts = [str(item["id"]) for item in items], [item.get("body") for item in items]
        if set(ids) >= set(order):
            if sorted(ids) != sorted(order):
                return Refused("not every item stands once in the order")
            if not all(isinstance(text, str) for text in texts):
                return Refused("an item without a text, `body`")
            place = {id: rank for rank, id in enumerate(order, 1)}
            return texts, tuple(place[id] for id in ids)
    return Refused("no list among the fields holds the items that are ordered")


def _chosen(result: Result, data: dict[str, Any]) -> tuple[list[str], tuple[int, ...]] | Refused:
    named = tuple(name.strip() for name in result.to_name.split(","))
    answers = next(([data[key] for key in pair] for pair in (named, *PAIRS) if len(pair) == 2 and all(key in data for key in pair)), None)
    if answers is None or not all(isinstance(answer, str) for answer in answers):
        return Refused("no two answers: neither `to_name` nor a known pair of fields holds texts")
    if result.value.selected not in RANKS:
        return Refused("neither left nor right was selected")
    return answers, RANKS[result.value.selected]


LABEL_STUDIO = Format(
    "{data: {prompt, …}, annotations: [{result: [{type: ranker or pairwise, value}]}]}", lambda row: has(row, "data", "annotations"), _read
)
