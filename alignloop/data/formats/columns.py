"""Tables of any names, through a mapping of columns in params (`ingest.columns`): CSV, Parquet, saved datasets, JSON Lines.

`text` makes documents; `prompt` prompts; `prompt` and `answer` demonstrations; `prompt`, `responses` and `kind` (person or judge)
rankings: by `ranks` (the lowest is the best), by `scores` (the highest is), or, with neither, as the responses are listed, the best first.
`responses`, `ranks` and `scores` are lists of columns, or one column that holds a list. An answer without a rank is refused with its row,
unless its cell is empty too. `system`, `labeler`, `user`, `category` and `time` are columns; what else a table holds is not read.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError, model_validator

from alignloop.data.formats import containers
from alignloop.data.formats.importer import Format, Found, Item, Refused, changed, each, has, ranks_of
from alignloop.data.formats.record_builders import Turns, demonstration, prompt, ranking
from alignloop.data.formats.text import documents
from alignloop.data.record_files import DataError, breaches_of

NAME = "columns"


class Mapped(BaseModel):
    """Which column holds what."""

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
    def _one_kind_of_record(self) -> "Mapped":
        if (self.text is None) == (self.prompt is None):
            raise ValueError("map either `text` or `prompt`")
        if self.text and (self.answer or self.responses):
            raise ValueError("a text has no answers: map `prompt` instead")
        if self.answer and self.responses:
            raise ValueError("map either `answer` or `responses`")
        if bool(self.responses) != (self.kind is not None):
            raise ValueError("`responses` and `kind` (person or judge) belong together")
        if (self.ranks or self.scores) and (not self.responses or (self.ranks and self.scores)):
            raise ValueError("map `responses`, and either `ranks` or `scores` of them")
        order = self.ranks or self.scores
        if isinstance(self.responses, list) and isinstance(order, list) and len(order) != len(self.responses):
            raise ValueError(f"{len(order)} ranks or scores for {len(self.responses)} responses")
        return self

    def names(self) -> list[str]:
        """The columns that a table must have."""
        given = [value for key, value in self if key != "kind" and value]
        return [name for value in given for name in ([value] if isinstance(value, str) else value)]


class Row(RootModel[dict[str, Any]]):
    pass


class _Unusable(Exception):
    """The reason why a row is refused."""


def columns(pattern: str, mapping: Mapping[str, str | list[str]]) -> Format:
    """The format of tables with this mapping; `pattern` is its name in params. Raises DataError where the mapping is none."""
    try:
        mapped = Mapped.model_validate(mapping)
    except ValidationError as error:
        breaches = "; ".join(f"{field or pattern}: {message}" for field, message in breaches_of(error))
        raise DataError(f"ingest.columns: {pattern}: {breaches}; data/README.md shows mappings") from None
    return Format(
        "a table with the columns that are mapped",
        lambda row: has(row, *mapped.names()),
        partial(_read, pattern, mapped),
    )


def _read(pattern: str, mapped: Mapped, path: Path, source: str) -> Iterator[Item]:
    _, first = next(containers.read(path), (0, None))
    if isinstance(first, dict) and (missing := [name for name in mapped.names() if name not in first]):
        seen = ", ".join(map(repr, list(first)[:20]))
        raise DataError(
            f"ingest.columns: {pattern}: {path} has no column {', '.join(map(repr, missing))}; it has {seen}"
        )
    return each(path, Row, lambda row: _records(mapped, row.root, source))


def _records(mapped: Mapped, row: dict[str, Any], source: str) -> Iterator[Found]:
    try:
        if mapped.text:
            lines = ((0, f"{line}\n") for line in _text(row, mapped.text).split("\n"))
            yield from (document for _, document in documents(lines, _text(row, mapped.text), source))
        elif mapped.answer:
            turns = [*_asked(mapped, row), ("assistant", _text(row, mapped.answer))]
            about = {"user": _cell(row, mapped.user), "category": _cell(row, mapped.category)}
            yield demonstration(NAME, turns, source, labeler=_cell(row, mapped.labeler), **about)
        else:
            about = {name: _cell(row, getattr(mapped, name)) for name in ("user", "category", "time")}
            asked = prompt(NAME, _asked(mapped, row), source, **about)
            if mapped.responses is None:
                yield asked
                return
            answers, ranks, left = _order(mapped, row)
            made = ranking(
                NAME, asked, answers, ranks, labeler=_cell(row, mapped.labeler), kind=mapped.kind or "person"
            )
            yield changed(made, "empty cells without a rank left out" if left else None)
    except _Unusable as unusable:
        yield Refused(str(unusable))


def _asked(mapped: Mapped, row: dict[str, Any]) -> Turns:
    system = [("system", _text(row, mapped.system))] if mapped.system and _cell(row, mapped.system) else []
    said = row.get(mapped.prompt or "")
    if (
        isinstance(said, list)
        and said
        and all(has(turn, "role", "content") and isinstance(turn["content"], str) for turn in said)
    ):
        return [*system, *((str(turn["role"]), turn["content"]) for turn in said)]
    return [*system, ("user", _text(row, mapped.prompt or ""))]


def _order(mapped: Mapped, row: dict[str, Any]) -> tuple[list[str], tuple[int, ...], bool]:
    """The answers, their ranks, and whether there were fewer than columns."""
    answers = _list(row, mapped.responses or [])
    order = _list(row, mapped.ranks or mapped.scores or []) or list(range(1, len(answers) + 1))
    if len(order) != len(answers):
        raise _Unusable("not as many ranks or scores as responses")
    listed = mapped.ranks is None and mapped.scores is None
    pairs = [
        (answer, rank)
        for answer, rank in zip(answers, order, strict=True)
        if not _empty(answer) or not (listed or _empty(rank))
    ]
    if not all(isinstance(answer, str) or _empty(answer) for answer, _ in pairs):
        raise _Unusable("a response that is no text")
    ranks = ranks_of([_number(rank) for _, rank in pairs], "highest" if mapped.scores else "lowest")
    return [answer or "" for answer, _ in pairs], ranks, len(pairs) < len(answers)


def _list(row: dict[str, Any], names: Sequence[str] | str) -> list[Any]:
    if not isinstance(names, str):
        return [row.get(name) for name in names]
    held = row.get(names)
    if not isinstance(held, list):
        raise _Unusable("no list where the mapping says that a column holds one")
    return held


def _number(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _Unusable("a rank or score that is missing or no number")
    return number


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _Unusable("an empty cell, or one that is no text, where a text must stand")
    return value


def _cell(row: dict[str, Any], name: str | None) -> str:
    """A cell as text, for ids and names; nothing where it is empty. Numbers are whole, though columns with gaps hold them as floats."""
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
