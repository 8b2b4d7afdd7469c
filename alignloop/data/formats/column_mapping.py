"""Imports tables with arbitrary column names through a mapping in params.yaml (`ingest.columns`).

`text` gives documents; `prompt` gives prompts; `prompt` and `answer` give demonstrations; `prompt`,
`responses` and `kind` (person or judge) give rankings: by `ranks` (lowest best), by `scores` (highest
best), or, with neither, in the order of the responses, the best first. `responses`, `ranks` and `scores`
are lists of columns, or one column that holds a list. A row with an unranked response is refused, unless
that response's cell is empty too. `system`, `labeler`, `user`, `category` and `time` are columns; other
columns are not read.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError, model_validator

from alignloop.data.formats import containers
from alignloop.data.formats.importer import (
    Format,
    Imported,
    ImportedRow,
    Refused,
    convert_rows,
    has_keys,
    ranks_of,
    with_changes,
)
from alignloop.data.formats.record_builders import Turns, demonstration, prompt, ranking
from alignloop.data.formats.role_marks import asked
from alignloop.data.formats.text import documents
from alignloop.data.formats.written_values import as_text
from alignloop.data.input_files import DataError
from alignloop.data.record_files import schema_violations

NAME = "columns"


class ColumnMapping(BaseModel):
    """The column, or list of columns, that holds each field of a record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str | None = None
    prompt: str | None = None
    system: str | None = None
    answer: str | None = None
    responses: list[str] | str | None = None
    ranks: list[str] | str | None = None
    scores: list[str] | str | None = None
    kind: Literal["person", "judge"] | None = None
    labeler: str | None = None
    user: str | None = None
    category: str | None = None
    time: str | None = None

    @model_validator(mode="after")
    def _one_kind_of_record(self) -> "ColumnMapping":
        if (self.text is None) == (self.prompt is None):
            raise ValueError("map either `text` or `prompt`")
        if self.text and (self.answer or self.responses):
            raise ValueError("a text has no responses: map `prompt` instead of `text`")
        if self.answer and self.responses:
            raise ValueError("map either `answer` or `responses`")
        if bool(self.responses) != (self.kind is not None):
            raise ValueError("`responses` and `kind` (person or judge) belong together")
        if (self.ranks or self.scores) and (not self.responses or (self.ranks and self.scores)):
            raise ValueError("map `responses`, and either their `ranks` or their `scores`")
        order = self.ranks or self.scores
        if isinstance(self.responses, list) and isinstance(order, list) and len(order) != len(self.responses):
            raise ValueError(f"{len(order)} ranks or scores for {len(self.responses)} responses")
        return self

    def names(self) -> list[str]:
        """The columns that a table must have."""
        values = [value for key, value in self if key != "kind" and value]
        return [name for value in values for name in ([value] if isinstance(value, str) else value)]


class Row(RootModel[dict[str, Any]]):
    pass


class _Unusable(Exception):
    """The reason why a row is refused."""


def mapped_table(pattern: str, mapping: Mapping[str, str | list[str]]) -> Format:
    """The format of tables with this mapping, whose key in params.yaml is `pattern`.

    Raises DataError for an invalid mapping.
    """
    try:
        columns = ColumnMapping.model_validate(mapping)
    except ValidationError as error:
        violations = "; ".join(
            f"{field or pattern}: {message}" for field, message in schema_violations(error)
        )
        raise DataError(f"ingest.columns: {pattern}: {violations}; data/README.md shows mappings") from None
    return Format(
        "a table with the mapped columns",
        lambda row: has_keys(row, *columns.names()),
        partial(_read, pattern, columns),
    )


def _read(pattern: str, columns: ColumnMapping, path: Path, source: str) -> Iterator[ImportedRow]:
    _, first = next(containers.read(path), (0, None))
    if isinstance(first, dict) and (missing := [name for name in columns.names() if name not in first]):
        present = ", ".join(map(repr, list(first)[:20]))
        raise DataError(
            f"ingest.columns: {pattern}: {path} has no column {', '.join(map(repr, missing))}; "
            f"it has {present}"
        )
    return convert_rows(path, Row, lambda row: _records(columns, row.root, source), aside=None)


def _records(columns: ColumnMapping, row: dict[str, Any], source: str) -> Iterator[Imported]:
    try:
        if columns.text:
            lines = ((0, f"{line}\n") for line in _text(row, columns.text).split("\n"))
            yield from (document for _, document in documents(lines, _text(row, columns.text), source))
        elif columns.answer:
            turns = [*_conversation(columns, row), ("assistant", _text(row, columns.answer))]
            about = {"user": _cell(row, columns.user), "category": _cell(row, columns.category)}
            yield demonstration(NAME, turns, source, labeler=_cell(row, columns.labeler), **about)
        else:
            about = {name: _cell(row, getattr(columns, name)) for name in ("user", "category", "time")}
            row_prompt = prompt(NAME, _conversation(columns, row), source, **about)
            if columns.responses is None:
                yield row_prompt
                return
            responses, ranks, dropped = _ranked_responses(columns, row)
            record = ranking(
                NAME,
                row_prompt,
                responses,
                ranks,
                labeler=_cell(row, columns.labeler),
                kind=columns.kind or "person",
            )
            yield with_changes(record, "empty cells without a rank left out" if dropped else None)
    except _Unusable as unusable:
        yield Refused(str(unusable))


def _conversation(columns: ColumnMapping, row: dict[str, Any]) -> Turns:
    system = [("system", _text(row, columns.system))] if columns.system and _cell(row, columns.system) else []
    turns = row.get(columns.prompt or "")
    if (
        isinstance(turns, list)
        and turns
        and all(has_keys(turn, "role", "content") and isinstance(turn["content"], str) for turn in turns)
    ):
        return [*system, *((str(turn["role"]), turn["content"]) for turn in turns)]
    return [*system, *asked(_text(row, columns.prompt or ""))]


def _ranked_responses(columns: ColumnMapping, row: dict[str, Any]) -> tuple[list[str], tuple[int, ...], bool]:
    """The responses, their ranks, and whether empty cells were dropped."""
    responses = [as_text(response) for response in _list(row, columns.responses or [])]
    values = _list(row, columns.ranks or columns.scores or []) or list(range(1, len(responses) + 1))
    if len(values) != len(responses):
        raise _Unusable("not as many ranks or scores as responses")
    listed = columns.ranks is None and columns.scores is None
    pairs = [
        (response, value)
        for response, value in zip(responses, values, strict=True)
        if not _empty(response) or not (listed or _empty(value))
    ]
    if not all(isinstance(response, str) or _empty(response) for response, _ in pairs):
        raise _Unusable("a response that is no text")
    ranks = ranks_of([_number(value) for _, value in pairs], "highest" if columns.scores else "lowest")
    return [response or "" for response, _ in pairs], ranks, len(pairs) < len(responses)


def _list(row: dict[str, Any], names: Sequence[str] | str) -> list[Any]:
    if not isinstance(names, str):
        return [row.get(name) for name in names]
    value = row.get(names)
    if not isinstance(value, list):
        raise _Unusable("no list where the mapping says that a column holds one")
    return value


def _number(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _Unusable("a rank or score that is missing or no number")
    return number


def _text(row: dict[str, Any], name: str) -> str:
    value = as_text(row.get(name))
    if not isinstance(value, str) or not value.strip():
        raise _Unusable("an empty cell, or one that is no text, where a text must stand")
    return value


def _cell(row: dict[str, Any], name: str | None) -> str:
    """A cell as text, for ids and names; empty for an empty cell.

    A whole number may be a float, as in columns with gaps.
    """
    value = row.get(name) if name else None
    if isinstance(value, date):  # or a datetime
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | None):
        raise _Unusable("a cell that is no text, whole number or date, where one of these must stand")
    return "" if value is None else str(value).strip()[:150]


def _empty(value: Any) -> bool:
    return value is None or value == ""
