"""The interface of a format: for each row it yields a record, a changed record or a refusal."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from alignloop.data import record_files
from alignloop.data.formats import containers, unread_fields
from alignloop.data.formats.refused_rows import Refused
from alignloop.records import Record

S = TypeVar("S", bound=BaseModel)
T = TypeVar("T")
R = TypeVar("R", bound=Record)
SHOWN = 3  # violations of one row that a reason names


class Changed(NamedTuple):
    """A record whose content differs from its source, and the changes.

    White space around a turn, and a format's own markup, do not count.
    """

    record: Record
    changes: tuple[str, ...]


Imported = Record | Changed | Refused
ImportedRow = tuple[int, Imported]  # with the line that the row begins on


class Format(NamedTuple):
    """One public format: a description of its rows, a test of a first row, and the importer of a source.

    Where rows can be imported independently of each other, `read_piece` imports some lines of a source as
    `read` imports them all; it must be a module-level function, for worker processes. Where a record is made
    of several rows, `belongs` yields each row's line and what it belongs to.
    """

    description: str
    matches: Callable[[Any], bool]
    read: Callable[[Path, str], Iterator[ImportedRow]]
    read_piece: Callable[[record_files.Piece], Iterator[ImportedRow]] | None = None
    belongs: Callable[[Path], Iterator[tuple[int, str]]] | None = None


def convert_rows(
    path: Path,
    row: type[S],
    convert: Callable[[S], Iterable[T]],
    aside: Collection[str] | None = (),
) -> Iterator[tuple[int, T | Refused]]:
    """Stream the rows of a source, parsed as `row`, through `convert`.

    A row that violates the source's schema, or gives a record that violates ours, is refused with the reason.
    So is one with a field that the schema does not read, in the row or in an object inside it, unless it is
    metadata or in `aside`; with None, `convert` looks for such fields.
    """
    for line, value in containers.read(path):
        if isinstance(value, Refused):
            yield line, value
            continue
        try:
            parsed = row.model_validate(value, strict=True)
            lost = [] if aside is None else unread_fields.unread(value, row, aside)
            results: list[T | Refused] = [Refused(unread_fields.reason(lost))] if lost else [*convert(parsed)]
        except ValidationError as error:
            results = [schema_refusal(error)]
        for item in results or [Refused("nothing in it to learn from")]:
            yield line, item


def with_changes(record: R, *changes: str | None) -> R | Changed:
    """The record, as Changed if any change is given; None stands for no change."""
    made = tuple(change for change in changes if change)
    return Changed(record, made) if made else record


def has_keys(row: Any, *keys: str, other: Iterable[str] | None = None) -> bool:
    """Whether a row is an object with these keys; with `other`, also whether it has no keys beyond both."""
    return (
        isinstance(row, dict) and row.keys() >= set(keys) and (other is None or row.keys() <= {*keys, *other})
    )


def ranks_of(values: Sequence[float | Fraction], best: str = "lowest") -> tuple[int, ...]:
    """The ranks of the values: 1 for the `lowest` or `highest`; equal values tie, and there are no gaps."""
    order = {value: rank for rank, value in enumerate(sorted(set(values), reverse=best == "highest"), 1)}
    return tuple(order[value] for value in values)


def schema_refusal(error: ValidationError) -> Refused:
    """A schema's violations as one reason, without indices and numbers, so that equal ones can be counted."""
    return _refusal(error.title, tuple(record_files.schema_violations(error)))


@lru_cache(1024)  # the rows of a source share their violations
def _refusal(title: str, violations: tuple[tuple[str, str], ...]) -> Refused:
    reasons = set[str]()
    for field, message in violations:
        place = ".".join(part for part in field.split(".") if not part.isdigit())
        reasons.add(f"{place or title}: {re.sub(r'[0-9]+', '#', message)}")
    more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    return Refused("; ".join(sorted(reasons)[:SHOWN]) + more)
