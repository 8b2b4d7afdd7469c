"""Records as tables to be validated: a row per line, however wrong, with the fields as they stand and what is derived from them.

Nothing is checked here. A derived column holds what is wrong with a row in words (`roles`, `order`, `schema of …`), or a number or
text to be judged (`characters`, `k`, `wording`); a rule in expectations.py says which of them may hold what.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from sys import intern
from typing import Any, get_args

import pandas as pd
from pydantic import ValidationError

from alignloop.io.datasets import DataError, examine
from alignloop.io.identity import wording
from alignloop.io.privacy import found
from alignloop.records import Demonstration, Document, Message, Ranking, Record, check_order, check_turns

ROLES = get_args(Message.model_fields["role"].annotation)
SPOKEN = {role: Message.model_construct(role=role, content="") for role in ROLES}  # turns, as far as their order goes


def last_turn(kind: type[Record]) -> str | None:
    """Who has the last word in a record's conversation; None: either."""
    return None if kind is Document else "assistant" if kind is Demonstration else "user"


def schema_of(kind: type[Record]) -> dict[str, dict[str, Any]]:
    """The fields of a record type with their JSON schemas; `required` says whether a line must have the field."""
    schema = kind.model_json_schema()
    return {name: {**field, "required": name in schema["required"]} for name, field in schema["properties"].items()}


def table(kind: type[Record], files: Mapping[Path, str | None], generated: bool = True) -> pd.DataFrame:
    """All lines of some files of one record type; each file with its split, None where the lines say it themselves.

    Personal data is looked for in everything but, with `generated`, the answers of a ranking that no people's data set brought.
    """
    fields = schema_of(kind)
    plain = {name: field.get("default") for name, field in fields.items() if _scalar(field)}
    columns: dict[str, list[Any]] = defaultdict(list)  # a million rows are to fit: no row is kept, and what is long is hashed
    for file, split in files.items():
        for line, record, error in examine(file, kind):
            if not isinstance(record, dict):
                raise DataError(f"{file}:{line}: is not a JSON object; one {kind.__name__} stands on each line (data/README.md)")
            given = {name: _plain(record.get(name, default)) for name, default in plain.items()}
            for name, value in (given | _derived(kind, record, fields, error, split, generated)).items():
                columns[name].append(value)
            columns["file"].append(str(file))
            columns["line"].append(line)
    if not columns:
        return pd.DataFrame(columns=["wording", "owner", "split"], dtype=object)
    return pd.DataFrame({name: pd.Series(columns.pop(name), dtype=object) for name in list(columns)})


def mark_leaks(tables: Iterable[pd.DataFrame]) -> None:
    """Add to each table the other splits that a row's prompt, and its user, stand in anywhere in these tables; None where in none."""
    tables = list(tables)
    for name in ("wording", "owner"):
        places: dict[Any, tuple[str, ...]] = {}  # nearly all values stand in one split, and share its tuple
        for each in tables:
            for value, split in zip(each[name], each["split"], strict=True):
                if value and isinstance(split, str) and split not in (known := places.get(value, ())):
                    places[value] = _together(known, split)
        for each in tables:
            others = (_apart(places.get(value, ()), split) for value, split in zip(each[name], each["split"].map(str), strict=True))
            each[f"other split of the {name}"] = pd.Series(list(others), index=each.index, dtype=object)


@cache
def _together(known: tuple[str, ...], split: str) -> tuple[str, ...]:
    return tuple(sorted((*known, split)))


def _apart(places: tuple[str, ...], split: str) -> str | None:
    return ", ".join(other for other in places if other != split) or None if places != (split,) else None


def _derived(
    kind: type[Record], record: dict[str, Any], fields: dict[str, Any], error: ValidationError | None, split: str | None, generated: bool
) -> dict[str, Any]:
    asked = record.get("prompt") if kind is Ranking else record
    asked = asked if isinstance(asked, dict) else {}
    messages = _list(asked.get("messages"))
    turns = [(turn["role"], turn["content"]) for turn in messages if _is_turn(turn)]
    responses = [each for each in _list(record.get("responses")) if isinstance(each, str)]
    last = last_turn(kind)
    opening = turns if last == "user" else turns[:-1]
    text = record.get("text")
    said = [content for _, content in turns] + ([text] if isinstance(text, str) else [])
    # what a model answered keeps to its context as it is drawn, and is shown to labelers as it is
    brought = [] if generated and record.get("round") != "imported" else responses
    owner = asked.get("user")
    columns = {
        "unknown fields": ", ".join(sorted(record.keys() - fields.keys())) or None,
        **_schema_breaches(kind, record, fields, error),
        "empty turns": ", ".join(f"turn {place}" for place, content in enumerate(said, 1) if not content.strip()) or None,
        "characters": sum(map(len, said)) + max(map(len, brought), default=0),
        "personal data": ", ".join(sorted({name for each in (*said, *brought, str(owner or "")) for name in found(each)})) or None,
        "wording": _hash(wording(opening)) if opening and kind is not Document else None,
        "owner": intern(owner) if isinstance(owner, str) else None,
        "content": _hash(repr((turns, text, record.get("responses"), record.get("ranks"), record.get("labeler")))),
    }
    formed = len(turns) == len(messages) and (isinstance(asked.get("messages"), list) or "messages" not in asked)
    spoken = tuple(SPOKEN[role] for role, _ in turns)
    columns["roles"] = _words(check_turns, spoken, last) if formed and (messages or kind is not Document) else None
    if kind is Ranking:
        ranks = tuple(rank for rank in _list(record.get("ranks")) if type(rank) is int)
        columns["order"] = _words(check_order, ranks, len(_list(record.get("responses"))))
        columns["k"] = len(_list(record.get("responses")))
    else:
        columns["split"] = split
    return columns


def _schema_breaches(
    kind: type[Record], record: dict[str, Any], fields: dict[str, Any], error: ValidationError | None
) -> dict[str, str | None]:
    """A column per field that is no plain value: what its schema says is wrong with it, what other columns tell left out."""
    columns: dict[str, str | None] = {f"schema of {name}": None for name, field in fields.items() if not _scalar(field)}
    for breach in error.errors() if error else ():
        name, *rest = map(str, breach["loc"] or ("",))
        empty = (rest[-1:] == ["content"] or name == "text") and breach["type"] in ("string_too_short", "string_pattern_mismatch")
        if f"schema of {name}" in columns and not empty and breach["type"] != "value_error":
            columns[f"schema of {name}"] = ": ".join([".".join(rest), breach["msg"]] if rest else [breach["msg"]])
    if kind is Document and (record.get("text") is None) == (record.get("messages") is None):
        columns["schema of text"] = "a document has either `text` or `messages`"
    return columns


def _words(check: Any, *arguments: Any) -> str | None:
    try:
        check(*arguments)
    except ValueError as error:
        return str(error)
    return None


def _scalar(field: dict[str, Any]) -> bool:
    return field.get("type") in ("string", "integer", "number", "boolean")


def _plain(value: Any) -> Any:
    """Lists and objects as bytes of JSON: tables hash their cells, and bytes are no type of any schema's. Equal short texts are one."""
    if isinstance(value, str):
        return intern(value) if len(value) < 100 else value
    return json.dumps(value).encode() if isinstance(value, list | dict) else value


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and turn.get("role") in ROLES and isinstance(turn.get("content"), str)
