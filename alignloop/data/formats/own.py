"""Our own record types as JSON Lines, one type a file, told by its fields; data/README.md shows a line of each."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from alignloop.data.formats import containers
from alignloop.data.formats.importer import Format, Found, Item, Refused, has, refusal
from alignloop.data.record_files import Piece
from alignloop.records import Demonstration, Document, Prompt, Ranking, Record

TYPES: list[tuple[set[str], type[Record]]] = [  # the first whose fields are all there
    ({"prompt", "responses", "ranks"}, Ranking),
    ({"messages", "labeler"}, Demonstration),
    ({"messages", "user"}, Prompt),
    ({"text", "source"}, Document),
    ({"messages", "source"}, Document),
]


def _kind(row: Any) -> type[Record] | None:
    return next((kind for fields, kind in TYPES if isinstance(row, dict) and fields <= row.keys()), None)


def _read(path: Path, source: str) -> Iterator[Item]:
    return _records(containers.read(path), None)


def _read_piece(piece: Piece) -> Iterator[Item]:
    kind = next((kind for _, row in containers.read(piece.path) if (kind := _kind(row))), None)
    return _records(containers.of(piece), kind)


def _records(read: Iterable[containers.Row], kind: type[Record] | None) -> Iterator[Item]:
    for line, row in read:
        kind = kind or _kind(row)
        yield line, row if isinstance(row, Refused) else _record(row, kind)


def _record(row: Any, kind: type[Record] | None) -> Found:
    try:
        return (
            kind.model_validate_json(_text(row), strict=True) if kind else Refused("none of our record types")
        )
    except ValidationError as error:
        return refusal(error)
    except (TypeError, RecursionError):  # a table's times and bytes
        return Refused("a value that JSON does not know, or nested too deeply")


def _text(row: Any) -> bytes | str:
    try:
        return orjson.dumps(row, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError:  # what it does not know may still be JSON: a number of twenty digits
        return json.dumps(row)


OWN = Format(
    "our own Prompt, Demonstration, Ranking or Document (data/README.md)",
    lambda row: has(row, "id") and bool(_kind(row)),
    _read,
    _read_piece,
)
