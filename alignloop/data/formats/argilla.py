"""Argilla's records with a ranking question: as its HTTP API gives them, alone or in pages, and the exports of Argilla 1. https://docs.argilla.io

The options that were ranked name the fields that hold the answers; of the other fields prompt, instruction, question or query (or the
only one there is) is the prompt, with `context` or `input` below it. Each submitted response is a ranking, equal ranks tie; drafts and
discarded ones are refused. So is what Argilla 2's SDK exports (`to_json`, `to_datasets`): it drops the ranks and keeps the options in the
question's own order, which nobody chose.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, RootModel

from alignloop.data.formats.importer import Format, Found, Item, Refused, each, has, ranks_of
from alignloop.data.formats.record_builders import prompt, ranking

PROMPTS, MORE = ("prompt", "instruction", "question", "query"), ("context", "input")
USERS, STATUS, RESPONSES = ".responses.users", ".responses.status", ".responses"
RANKLESS = (
    "options without their ranks, as Argilla's SDK exports them: the order is the question's and nobody's ranking; "
    "fetch the records by HTTP (`GET /api/v1/datasets/ID/records?include=responses`), which keeps the ranks"
)


class Judged(NamedTuple):
    """One person's response to one question."""

    value: Any
    user: str
    status: str


class Row(RootModel[dict[str, Any]]):
    pass


class Nested(BaseModel):
    fields: dict[str, Any]
    responses: dict[str, list[dict[str, Any]]] | list[dict[str, Any]] | None = None


def _sees(row: Any) -> bool:
    if has(row, "items") and isinstance(row["items"], list) and row["items"]:
        row = row["items"][0]
    nested = has(row, "fields", "responses") and isinstance(row["fields"], dict)
    return nested or (isinstance(row, dict) and any(key.endswith(USERS) for key in row))


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(
        path, Row, lambda row: (found for record in records(row.root) for found in _rankings(record, source))
    )


def records(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of a row: its own, or those of a page of the HTTP API."""
    items = row.get("items")
    return (
        [item for item in items if isinstance(item, dict)]
        if isinstance(items, list) and "fields" not in row
        else [row]
    )


def _rankings(row: dict[str, Any], source: str) -> Iterator[Found]:
    fields, judged = _nested(row) if "fields" in row else _flat(row)
    found = [
        each
        for each in judged
        if options(each.value).keys() <= fields.keys() and len(options(each.value)) > 1
    ]
    if not found:
        lost = any(1 < len(_names(each.value)) <= len(_names(each.value) & fields.keys()) for each in judged)
        yield Refused(RANKLESS if lost else "nobody has ranked two or more of its fields")
    for given in found:
        ranks = options(given.value)
        text = _prompt({name: said for name, said in fields.items() if name not in ranks})
        answers = [fields[name] for name in ranks]
        if given.status != "submitted":
            yield Refused("a draft, or a discarded response")
        elif text is None:
            yield Refused("no prompt: none of the fields prompt, instruction, question, query holds any")
        elif not all(isinstance(answer, str) for answer in answers) or not given.user:
            yield Refused("a ranked field that is no text, or a response by nobody")
        else:
            asked = prompt("argilla", [("user", text)], source)
            yield ranking(
                "argilla", asked, answers, ranks_of(list(ranks.values())), labeler=f"argilla-{given.user}"
            )


def options(value: Any) -> dict[str, int]:
    """The ranked options with their ranks; none where the value is no ranking that names each option once."""
    if not isinstance(value, list) or not all(has(each, "value", "rank") for each in value):
        return {}
    if not all(isinstance(each["value"], str) and type(each["rank"]) is int for each in value):
        return {}
    ranks = {each["value"]: each["rank"] for each in value}
    return ranks if len(ranks) == len(value) else {}


def _names(value: Any) -> set[str]:
    return set(value) if isinstance(value, list) and all(isinstance(each, str) for each in value) else set()


def _nested(row: dict[str, Any]) -> tuple[dict[str, Any], list[Judged]]:
    given = Nested.model_validate(row, strict=True)
    if isinstance(given.responses, list):  # Argilla 1: a person's answers to all questions together
        return given.fields, [
            _judged(answer, by) for by in given.responses for answer in _mapping(by.get("values")).values()
        ]
    return given.fields, [
        _judged(answer, answer) for answers in (given.responses or {}).values() for answer in answers
    ]


def _judged(answer: Any, by: dict[str, Any]) -> Judged:
    return Judged(
        _mapping(answer).get("value"), str(by.get("user_id") or ""), str(by.get("status") or "submitted")
    )


def _flat(row: dict[str, Any]) -> tuple[dict[str, Any], list[Judged]]:
    judged = []
    for question in (key.removesuffix(USERS) for key in row if key.endswith(USERS)):
        values, users = row.get(question + RESPONSES), row[question + USERS]
        if isinstance(values, list) and isinstance(users, list) and len(values) == len(users):
            status = row.get(question + STATUS) or ["submitted"] * len(values)
            judged += [
                Judged(value, str(user), str(state))
                for value, user, state in zip(values, users, status, strict=False)
            ]
    return {
        key: said
        for key, said in row.items()
        if isinstance(said, str) and key not in ("id", "_server_id", "status")
    }, judged


def _prompt(fields: dict[str, Any]) -> str | None:
    texts = {name: said.strip() for name, said in fields.items() if isinstance(said, str) and said.strip()}
    name = next((name for name in PROMPTS if name in texts), next(iter(texts)) if len(texts) == 1 else None)
    return "\n\n".join([texts[name], *(texts[more] for more in MORE if more in texts)]) if name else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


ARGILLA = Format(
    "{fields: {prompt, …}, responses: [{user_id, status, values: {question: {value: [{value: field, rank}]}}}]}, or pages of such",
    _sees,
    _read,
)
