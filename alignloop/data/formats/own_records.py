"""Alignloop's own record types (format `own`): one type per file, recognised by its fields.

data/README.md shows a line of each type.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from alignloop.data.formats import containers
from alignloop.data.formats.importer import Format, Imported, ImportedRow, Refused, has_keys, schema_refusal
from alignloop.data.record_files import Piece
from alignloop.records import BinaryLabel, Demonstration, Document, Prompt, Ranking, Record

TYPES: list[tuple[set[str], type[Record]]] = [  # the first type all of whose fields are present
    ({"prompt", "responses", "ranks"}, Ranking),
    ({"prompt", "response", "good"}, BinaryLabel),
    ({"messages", "labeler"}, Demonstration),
    ({"messages", "user"}, Prompt),
    ({"text", "source"}, Document),
    ({"messages", "source"}, Document),
]


def _record_type(row: Any) -> type[Record] | None:
    return next((kind for fields, kind in TYPES if isinstance(row, dict) and fields <= row.keys()), None)


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return _records(containers.read(path), None)


def _read_piece(piece: Piece) -> Iterator[ImportedRow]:
    kind = next((kind for _, row in containers.read(piece.path) if (kind := _record_type(row))), None)
    return _records(containers.piece_rows(piece), kind)


def _records(read: Iterable[containers.NumberedRow], kind: type[Record] | None) -> Iterator[ImportedRow]:
    for line, row in read:
        kind = kind or _record_type(row)
        yield line, row if isinstance(row, Refused) else _record(row, kind)


def _record(row: Any, kind: type[Record] | None) -> Imported:
    if kind is None:
        return Refused("none of our record types")
    try:
        return kind.model_validate_json(_text(row), strict=True)
    except ValidationError as error:
        return schema_refusal(error)
    except (TypeError, RecursionError):  # times and bytes of a table
        return Refused("a value that JSON does not know, or nested too deeply")


def _text(row: Any) -> bytes | str:
    try:
        return orjson.dumps(row, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError:  # orjson rejects numbers of twenty digits, which are JSON
        return json.dumps(row)


def first_terms(path: Path) -> str | None:
    """The terms that a file's first record states, if a teacher wrote it."""
    row: Any = next((row for _, row in containers.read(path)), None)
    teacher = row.get("teacher") if isinstance(row, dict) else None
    terms = teacher.get("terms") if isinstance(teacher, dict) else None
    return terms if isinstance(terms, str) else None


OWN_RECORDS = Format(
    "Alignloop's own Prompt, Demonstration, Ranking, BinaryLabel or Document (data/README.md)",
    lambda row: has_keys(row, "id") and bool(_record_type(row)),
    _read,
    _read_piece,
)
