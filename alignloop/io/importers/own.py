"""Our own record types as JSON Lines, one type a file, told by its fields; data/README.md shows a line of each."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from alignloop.io import datasets
from alignloop.io.importers.item import Format, Item, Refused, refusal
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
    kind = None
    for line, row in datasets.read_rows(path):
        kind = kind or _kind(row)
        try:
            yield line, kind.model_validate_json(json.dumps(row), strict=True) if kind else Refused("none of our record types")
        except ValidationError as error:
            yield line, refusal(error)


OWN = Format("our own Prompt, Demonstration, Ranking or Document (data/README.md)", lambda row: _kind(row) is not None, _read)
