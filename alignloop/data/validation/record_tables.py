"""Builds the tables to be validated: a row per line, however faulty, with its fields and derived columns.

Nothing is checked here. A derived column describes a fault (`schema of …`, `empty turns`), or holds a
number or text (`characters`, `roles`, `order`, `wording`) that a rule in expectations.py checks.
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

from alignloop.data.content_ids import SEPARATOR, normalised_text
from alignloop.data.input_files import DataError
from alignloop.data.pii.redaction import kinds_in, kinds_in_id
from alignloop.data.record_files import Piece, file_pieces, parse_unchecked
from alignloop.data.workers import Workers
from alignloop.records import BinaryLabel, Demonstration, Document, Message, Ranking, Record

JUDGEMENTS = (Ranking, BinaryLabel)  # they hold their prompt, and the split
ROLES = get_args(Message.model_fields["role"].annotation)


def last_turn(kind: type[Record]) -> str | None:
    """The role of the last turn in a record's conversation; None: either."""
    if kind is Document:
        return None
    return "assistant" if kind is Demonstration else "user"


@cache
def schema_of(kind: type[Record]) -> dict[str, dict[str, Any]]:
    """The fields of a record type with their JSON schemas; `required` fields must be in every line."""
    schema = kind.model_json_schema()
    return {
        name: {**field, "required": name in schema["required"]}
        for name, field in schema["properties"].items()
    }


class _TableOptions(NamedTuple):
    kind: type[Record]
    split: str | None
    generated: bool
    private: bool


def record_table(
    kind: type[Record],
    files: Mapping[Path, str | None],
    generated: bool = True,
    private: bool = True,
    workers: Workers | None = None,
) -> pd.DataFrame:
    """The table of all lines of some files of one record type.

    `files` maps each file to its split; None where the records state it themselves. With `private`,
    personal data is searched for; with `generated`, not in responses that a model wrote (those of
    rankings that were not imported). The workers, if given, read the lines.
    """
    # sized for a million rows: no row is kept, and long texts are hashed
    columns: dict[str, list[Any]] = defaultdict(list)
    for file, split in files.items():
        read = partial(_columns, _TableOptions(kind, split, generated, private))
        for piece in (workers or Workers(1)).map(read, file_pieces(file)):
            for name, values in piece.items():
                columns[name] += _interned(values)
    if not columns:
        return pd.DataFrame(columns=["wording", "owner", "split"], dtype=object)
    return pd.DataFrame({name: pd.Series(columns.pop(name), dtype=object) for name in list(columns)})


def _columns(options: _TableOptions, piece: Piece) -> dict[str, list[Any]]:
    """The rows of a piece, column by column."""
    kind = options.kind
    fields = schema_of(kind)
    plain = {name: field.get("default") for name, field in fields.items() if _scalar(field)}
    columns: dict[str, list[Any]] = defaultdict(list)
    for line, record, error in parse_unchecked(piece, kind):
        if not isinstance(record, dict):
            raise DataError(
                f"{piece.path}:{line}: is not a JSON object; "
                f"each line must hold one {kind.__name__} (data/README.md)"
            )
        given = {name: _plain(record.get(name, default)) for name, default in plain.items()}
        for name, value in (given | _derived(options, record, fields, error)).items():
            columns[name].append(value)
        columns["file"].append(str(piece.path))
        columns["line"].append(line)
    return columns


def mark_leaks(tables: Iterable[pd.DataFrame]) -> None:
    """Add to each table the splits in which a row's prompt, and its user, occur anywhere in these tables."""
    tables = list(tables)
    for name in ("wording", "owner"):
        # nearly all values occur in one split, and share its tuple
        splits_of: dict[Any, tuple[str, ...]] = {}
        for each in tables:
            for value, split in zip(each[name], each["split"], strict=True):
                if value and isinstance(split, str) and split not in (known := splits_of.get(value, ())):
                    splits_of[value] = _merged(known, split)
        for each in tables:
            each[f"splits of the {name}"] = pd.Series(
                [_split_names(splits_of.get(value)) for value in each[name]], index=each.index, dtype=object
            )


@cache
def _merged(known: tuple[str, ...], split: str) -> tuple[str, ...]:
    return tuple(sorted((*known, split)))


@cache
def _split_names(splits: tuple[str, ...] | None) -> str | None:
    return ", ".join(splits) if splits else None


def _texts(value: Any) -> Iterator[str]:
    """All texts in lists and mappings within each other."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _derived(
    options: _TableOptions, record: dict[str, Any], fields: dict[str, Any], error: ValidationError | None
) -> dict[str, Any]:
    kind = options.kind
    prompt = record.get("prompt") if kind in JUDGEMENTS else record
    prompt = prompt if isinstance(prompt, dict) else {}
    messages = _list(prompt.get("messages"))
    turns = [(turn["role"], turn["content"]) for turn in messages if _is_turn(turn)]
    given = [record.get("response")] if kind is BinaryLabel else _list(record.get("responses"))
    responses = [each for each in given if isinstance(each, str)]
    judged = record.get("good") if kind is BinaryLabel else record.get("ranks")
    prompt_turns = turns if last_turn(kind) == "user" else turns[:-1]
    text = record.get("text")
    contents = [content for _, content in turns] + ([text] if isinstance(text, str) else [])
    # a model's responses are bounded when they are sampled, and are shown to labelers unredacted
    written = [] if options.generated and record.get("round") != "imported" else responses
    owner, private = prompt.get("user"), (*contents, *written, *_texts(record.get("calls")))
    kinds = [*map(kinds_in, private), kinds_in_id(str(owner or ""))] if options.private else ()
    columns = {
        "unknown fields": ", ".join(sorted(record.keys() - fields.keys())) or None,
        **_schema_violations(kind, record, fields, error),
        "empty turns": ", ".join(
            f"turn {number}" for number, content in enumerate(contents, 1) if not content.strip()
        )
        or None,
        "characters": sum(map(len, contents)) + max(map(len, written), default=0),
        "personal data": ", ".join(sorted(set(chain.from_iterable(kinds)))) or None,
        "wording": _hash(normalised_text(prompt_turns)) if prompt_turns and kind is not Document else None,
        "owner": owner if isinstance(owner, str) else None,
        "language": language if isinstance(language := prompt.get("language"), str) else None,
        "content": _hash(SEPARATOR.join([*contents, *responses, repr((judged, record.get("labeler")))])),
    }
    formed = len(turns) == len(messages) and (
        isinstance(prompt.get("messages"), list) or "messages" not in prompt
    )
    columns["roles"] = (
        intern(" ".join(role for role, _ in turns)) if formed and (messages or kind is not Document) else None
    )
    if kind is Ranking:
        ranks = " ".join(str(rank) for rank in _list(record.get("ranks")) if type(rank) is int)
        columns["order"] = intern(f"{ranks} of {len(_list(record.get('responses')))}")
        columns["k"] = len(_list(record.get("responses")))
        columns["category"] = (
            category if isinstance(category := prompt.get("category", "other"), str) else None
        )
        columns["item"], columns["ranked"] = _ranked_item(contents, responses, ranks.split())
    elif kind not in JUDGEMENTS:
        columns["split"] = options.split
    return columns


def _ranked_item(contents: list[str], responses: list[str], ranks: list[str]) -> tuple[int, str | None]:
    """A hash of the prompt and its responses, in sorted order, and the ranks in that order.

    The ranks are None unless every response has one.
    """
    order = sorted(range(len(responses)), key=responses.__getitem__)
    item = _hash(SEPARATOR.join([*contents, *(responses[index] for index in order)]))
    return item, intern(" ".join(ranks[index] for index in order)) if len(ranks) == len(responses) else None


def _schema_violations(
    kind: type[Record], record: dict[str, Any], fields: dict[str, Any], error: ValidationError | None
) -> dict[str, str | None]:
    """A column per list or object field: its schema violation, unless another column already covers it."""
    columns: dict[str, str | None] = dict.fromkeys(_schema_columns(kind))
    for violation in error.errors() if error else ():
        name, *rest = map(str, violation["loc"] or ("",))
        empty = (rest[-1:] == ["content"] or name == "text") and violation["type"] in (
            "string_too_short",
            "string_pattern_mismatch",
        )
        if f"schema of {name}" in columns and not empty and violation["type"] != "value_error":
            columns[f"schema of {name}"] = ": ".join([*([".".join(rest)] if rest else []), violation["msg"]])
    if kind is Document and (record.get("text") is None) == (record.get("messages") is None):
        columns["schema of text"] = "a document has either `text` or `messages`"
    return columns


@cache
def _schema_columns(kind: type[Record]) -> tuple[str, ...]:
    return tuple(f"schema of {name}" for name, field in schema_of(kind).items() if not _scalar(field))


def _scalar(field: dict[str, Any]) -> bool:
    return field.get("type") in ("string", "integer", "number", "boolean")


def _plain(value: Any) -> Any:
    """Lists and objects as bytes of JSON: cells must be hashable, and no schema has the type bytes."""
    return json.dumps(value).encode() if isinstance(value, list | dict) else value


def _interned(values: list[Any]) -> Iterator[Any]:
    """The values, with equal short texts sharing memory: a million rows have few labelers."""
    return (intern(value) if type(value) is str and len(value) < 100 else value for value in values)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and turn.get("role") in ROLES and isinstance(turn.get("content"), str)
