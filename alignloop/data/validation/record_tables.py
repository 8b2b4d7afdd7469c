"""Records as tables to be validated: a row per line, however wrong, with the fields as they stand and what is derived from them.

Nothing is checked here. A derived column holds what is wrong with a row in words (`schema of …`, `empty turns`), or a number or text to be
judged (`characters`, `roles`, `order`, `wording`); a rule in expectations.py says which of them may hold what.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple, get_args

import pandas as pd
from pydantic import ValidationError

from alignloop.data.content_ids import SEPARATOR, wording
from alignloop.data.pii import found, found_in_id
from alignloop.data.record_files import DataError, Piece, examine, pieces_of
from alignloop.data.workers import Workers
from alignloop.records import Demonstration, Document, Message, Ranking, Record

ROLES = get_args(Message.model_fields["role"].annotation)


def last_turn(kind: type[Record]) -> str | None:
    """Who has the last word in a record's conversation; None: either."""
    return None if kind is Document else "assistant" if kind is Demonstration else "user"


@cache
def schema_of(kind: type[Record]) -> dict[str, dict[str, Any]]:
    """The fields of a record type with their JSON schemas; `required` says whether a line must have the field."""
    schema = kind.model_json_schema()
    return {
        name: {**field, "required": name in schema["required"]}
        for name, field in schema["properties"].items()
    }


class _Reading(NamedTuple):
    kind: type[Record]
    split: str | None
    generated: bool
    private: bool


def table(
    kind: type[Record],
    files: Mapping[Path, str | None],
    generated: bool = True,
    private: bool = True,
    workers: Workers | None = None,
) -> pd.DataFrame:
    """All lines of some files of one record type; each file with its split, None where the lines say it themselves.

    With `private`, personal data is looked for: in everything but, with `generated`, the answers of a ranking that no people's data set
    brought. Workers read the lines if there are some.
    """
    columns: dict[str, list[Any]] = defaultdict(
        list
    )  # a million rows are to fit: no row is kept, and what is long is hashed
    for file, split in files.items():
        read = partial(_columns, _Reading(kind, split, generated, private))
        for piece in (workers or Workers(1)).map(read, pieces_of(file)):
            for name, values in piece.items():
                columns[name] += _once(values)
    if not columns:
        return pd.DataFrame(columns=["wording", "owner", "split"], dtype=object)
    return pd.DataFrame({name: pd.Series(columns.pop(name), dtype=object) for name in list(columns)})


def _columns(reading: _Reading, piece: Piece) -> dict[str, list[Any]]:
    """The rows of a piece, column by column."""
    kind = reading.kind
    fields = schema_of(kind)
    plain = {name: field.get("default") for name, field in fields.items() if _scalar(field)}
    columns: dict[str, list[Any]] = defaultdict(list)
    for line, record, error in examine(piece, kind):
        if not isinstance(record, dict):
            raise DataError(
                f"{piece.path}:{line}: is not a JSON object; one {kind.__name__} stands on each line (data/README.md)"
            )
        given = {name: _plain(record.get(name, default)) for name, default in plain.items()}
        for name, value in (given | _derived(reading, record, fields, error)).items():
            columns[name].append(value)
        columns["file"].append(str(piece.path))
        columns["line"].append(line)
    return columns


def mark_leaks(tables: Iterable[pd.DataFrame]) -> None:
    """Add to each table the splits that a row's prompt, and its user, stand in anywhere in these tables."""
    tables = list(tables)
    for name in ("wording", "owner"):
        places: dict[Any, tuple[str, ...]] = {}  # nearly all values stand in one split, and share its tuple
        for each in tables:
            for value, split in zip(each[name], each["split"], strict=True):
                if value and isinstance(split, str) and split not in (known := places.get(value, ())):
                    places[value] = _together(known, split)
        for each in tables:
            each[f"splits of the {name}"] = pd.Series(
                [_named(places.get(value)) for value in each[name]], index=each.index, dtype=object
            )


@cache
def _together(known: tuple[str, ...], split: str) -> tuple[str, ...]:
    return tuple(sorted((*known, split)))


@cache
def _named(splits: tuple[str, ...] | None) -> str | None:
    return ", ".join(splits) if splits else None


def _derived(
    reading: _Reading, record: dict[str, Any], fields: dict[str, Any], error: ValidationError | None
) -> dict[str, Any]:
    kind = reading.kind
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
    brought = [] if reading.generated and record.get("round") != "imported" else responses
    owner = asked.get("user")
    searched = [*map(found, (*said, *brought)), found_in_id(str(owner or ""))] if reading.private else ()
    columns = {
        "unknown fields": ", ".join(sorted(record.keys() - fields.keys())) or None,
        **_schema_breaches(kind, record, fields, error),
        "empty turns": ", ".join(
            f"turn {place}" for place, content in enumerate(said, 1) if not content.strip()
        )
        or None,
        "characters": sum(map(len, said)) + max(map(len, brought), default=0),
        "personal data": ", ".join(sorted(set(chain.from_iterable(searched)))) or None,
        "wording": _hash(wording(opening)) if opening and kind is not Document else None,
        "owner": owner if isinstance(owner, str) else None,
        "language": language if isinstance(language := asked.get("language"), str) else None,
        "content": _hash(
            SEPARATOR.join([*said, *responses, repr((record.get("ranks"), record.get("labeler")))])
        ),
    }
    formed = len(turns) == len(messages) and (
        isinstance(asked.get("messages"), list) or "messages" not in asked
    )
    columns["roles"] = (
        intern(" ".join(role for role, _ in turns)) if formed and (messages or kind is not Document) else None
    )
    if kind is Ranking:
        ranks = " ".join(str(rank) for rank in _list(record.get("ranks")) if type(rank) is int)
        columns["order"] = intern(f"{ranks} of {len(_list(record.get('responses')))}")
        columns["k"] = len(_list(record.get("responses")))
        columns["category"] = (
            category if isinstance(category := asked.get("category", "other"), str) else None
        )
        columns["item"], columns["ranked"] = _ranked(said, responses, ranks.split())
    else:
        columns["split"] = reading.split
    return columns


def _ranked(said: list[str], responses: list[str], ranks: list[str]) -> tuple[int, str | None]:
    """What was ranked, whatever order the answers stood in, and their ranks in one order; None where not every answer has its rank."""
    places = sorted(range(len(responses)), key=responses.__getitem__)
    item = _hash(SEPARATOR.join([*said, *(responses[place] for place in places)]))
    return item, intern(" ".join(ranks[place] for place in places)) if len(ranks) == len(responses) else None


def _schema_breaches(
    kind: type[Record], record: dict[str, Any], fields: dict[str, Any], error: ValidationError | None
) -> dict[str, str | None]:
    """A column per field that is no plain value: what its schema says is wrong with it, what other columns tell left out."""
    columns: dict[str, str | None] = dict.fromkeys(_schema_columns(kind))
    for breach in error.errors() if error else ():
        name, *rest = map(str, breach["loc"] or ("",))
        empty = (rest[-1:] == ["content"] or name == "text") and breach["type"] in (
            "string_too_short",
            "string_pattern_mismatch",
        )
        if f"schema of {name}" in columns and not empty and breach["type"] != "value_error":
            columns[f"schema of {name}"] = ": ".join(
                [".".join(rest), breach["msg"]] if rest else [breach["msg"]]
            )
    if kind is Document and (record.get("text") is None) == (record.get("messages") is None):
        columns["schema of text"] = "a document has either `text` or `messages`"
    return columns


@cache
def _schema_columns(kind: type[Record]) -> tuple[str, ...]:
    return tuple(f"schema of {name}" for name, field in schema_of(kind).items() if not _scalar(field))


def _scalar(field: dict[str, Any]) -> bool:
    return field.get("type") in ("string", "integer", "number", "boolean")


def _plain(value: Any) -> Any:
    """Lists and objects as bytes of JSON: tables hash their cells, and bytes are no type of any schema's."""
    return json.dumps(value).encode() if isinstance(value, list | dict) else value


def _once(values: list[Any]) -> Iterator[Any]:
    """The values, equal short texts as one: a million rows have few labelers."""
    return (intern(value) if type(value) is str and len(value) < 100 else value for value in values)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and turn.get("role") in ROLES and isinstance(turn.get("content"), str)
