"""Argilla: records with a ranking question, from its HTTP API (single or in pages) or an export of Argilla 1.

https://docs.argilla.io

The ranked options name the fields that hold the responses. The prompt is the field prompt, instruction,
question or query, or the only other field, followed by `context` or `input`. Each submitted annotation is
a ranking, and equal ranks tie; drafts and discarded annotations are refused. Exports of Argilla 2's SDK
(`to_json`, `to_datasets`) are refused too: they drop the ranks and list the options in the question's own
order, which no labeler chose.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, RootModel

from alignloop.data.formats import unread_fields
from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    Refused,
    convert_rows,
    has_keys,
    ranks_of,
)
from alignloop.data.formats.record_builders import Turns, chat_turns, prompt, ranking
from alignloop.data.formats.refused_rows import Withdrawn
from alignloop.data.formats.role_marks import asked

PROMPTS, CONTEXTS = ("prompt", "instruction", "question", "query"), ("context", "input")
ASIDE = ("suggestions", "vectors", "status")
USERS = ".responses.users"
STATUS = ".responses.status"
RESPONSES = ".responses"
RANKLESS = (
    "options without their ranks, as Argilla's SDK exports them: "
    "the order is the question's and nobody's ranking; "
    "fetch the records by HTTP (`GET /api/v1/datasets/ID/records?include=responses`), which keeps the ranks"
)


class Annotation(NamedTuple):
    """One annotator's value for one question."""

    value: Any
    user: str
    status: str


class Row(RootModel[dict[str, Any]]):
    pass


class Nested(BaseModel):
    fields: dict[str, Any]
    responses: dict[str, list[dict[str, Any]]] | list[dict[str, Any]] | None = None


def _matches(row: Any) -> bool:
    if has_keys(row, "items") and isinstance(row["items"], list) and row["items"]:
        row = row["items"][0]
    nested = has_keys(row, "fields", "responses") and isinstance(row["fields"], dict)
    return nested or (isinstance(row, dict) and any(key.endswith(USERS) for key in row))


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(
        path,
        Row,
        lambda row: (ranked for record in page_records(row.root) for ranked in _rankings(record, source)),
        aside=None,
    )


def page_records(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of a row: the row itself, or the records of a page of the HTTP API."""
    items = row.get("items")
    if isinstance(items, list) and "fields" not in row:
        return [item for item in items if isinstance(item, dict)]
    return [row]


def _rankings(row: dict[str, Any], source: str) -> Iterator[Imported]:
    if "fields" in row and (lost := unread_fields.beside(row, ("fields", "responses"), ASIDE)):
        yield Refused(unread_fields.reason(lost))
        return
    fields, annotations = _nested(row) if "fields" in row else _flat(row)
    rankings = [
        annotation
        for annotation in annotations
        if option_ranks(annotation.value).keys() <= fields.keys() and len(option_ranks(annotation.value)) > 1
    ]
    if not rankings:
        rankless = any(
            1 < len(_names(annotation.value)) <= len(_names(annotation.value) & fields.keys())
            for annotation in annotations
        )
        yield Refused(RANKLESS if rankless else "nobody has ranked two or more of its fields")
    for annotation in rankings:
        ranks = option_ranks(annotation.value)
        turns, lost = _prompt({name: value for name, value in fields.items() if name not in ranks})
        responses = [fields[name] for name in ranks]
        if annotation.status != "submitted":
            yield Withdrawn("a draft, or a discarded response")
        elif turns is None:
            yield Refused("no prompt: none of the fields prompt, instruction, question, query holds any")
        elif lost:
            yield Refused(unread_fields.reason(lost))
        elif not all(isinstance(response, str) for response in responses) or not annotation.user:
            yield Refused("a ranked field that is no text, or a response by nobody")
        else:
            yield ranking(
                "argilla",
                prompt("argilla", turns, source),
                responses,
                ranks_of(list(ranks.values())),
                labeler=f"argilla-{annotation.user}",
            )


def option_ranks(value: Any) -> dict[str, int]:
    """The ranks by option; empty if the value is not a ranking that names each option once."""
    if not isinstance(value, list) or not all(has_keys(each, "value", "rank") for each in value):
        return {}
    if not all(isinstance(each["value"], str) and type(each["rank"]) is int for each in value):
        return {}
    ranks = {each["value"]: each["rank"] for each in value}
    return ranks if len(ranks) == len(value) else {}


def _names(value: Any) -> set[str]:
    return set(value) if isinstance(value, list) and all(isinstance(each, str) for each in value) else set()


def _nested(row: dict[str, Any]) -> tuple[dict[str, Any], list[Annotation]]:
    """The fields and the annotations of a record of the HTTP API, or of Argilla 1."""
    nested = Nested.model_validate(row, strict=True)
    if isinstance(nested.responses, list):  # Argilla 1: one annotator's values for all questions
        return nested.fields, [
            _annotation(value, by) for by in nested.responses for value in _mapping(by.get("values")).values()
        ]
    return nested.fields, [
        _annotation(value, value) for values in (nested.responses or {}).values() for value in values
    ]


def _annotation(value: Any, by: dict[str, Any]) -> Annotation:
    user, status = str(by.get("user_id") or ""), str(by.get("status") or "submitted")
    return Annotation(_mapping(value).get("value"), user, status)


def _flat(row: dict[str, Any]) -> tuple[dict[str, Any], list[Annotation]]:
    """The fields and the annotations of a row of a table."""
    annotations = []
    for question in (key.removesuffix(USERS) for key in row if key.endswith(USERS)):
        values, users = row.get(question + RESPONSES), row[question + USERS]
        if isinstance(values, list) and isinstance(users, list) and len(values) == len(users):
            states = row.get(question + STATUS) or ["submitted"] * len(values)
            annotations += [
                Annotation(value, str(user), str(status))
                for value, user, status in zip(values, users, states, strict=False)
            ]
    ignored = ("id", "_server_id", "status")
    fields = {key: text for key, text in row.items() if isinstance(text, str) and key not in ignored}
    return fields, annotations


def _prompt(fields: dict[str, Any]) -> tuple[Turns | None, list[str]]:
    """The turns of the prompt, and the fields that are lost with it."""
    chats = [turns for value in fields.values() if isinstance(value, list) and (turns := chat_turns(value))]
    texts = {name: text.strip() for name, text in fields.items() if isinstance(text, str) and text.strip()}
    if len(chats) == 1 and not texts:
        return chats[0], []
    name = next((name for name in PROMPTS if name in texts), next(iter(texts)) if len(texts) == 1 else None)
    if chats or not name:
        return None, []
    contexts = [texts[context] for context in CONTEXTS if context in texts]
    lost = unread_fields.beside(fields, {name, *CONTEXTS})
    return asked("\n\n".join([texts[name], *contexts])), lost


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


ARGILLA = Format(
    "{fields: {prompt, …}, "
    "responses: [{user_id, status, values: {question: {value: [{value: field, rank}]}}}]}, "
    "or pages of such records",
    _matches,
    _read,
)
