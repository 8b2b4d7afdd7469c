"""What an importer yields for a row of a source: a record, a record that it had to change, or the reason why there is none."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from alignloop.data import record_files
from alignloop.data.formats import containers
from alignloop.data.formats.containers import Refused
from alignloop.records import Record

S = TypeVar("S", bound=BaseModel)
T = TypeVar("T")
R = TypeVar("R", bound=Record)
TOLD = 3  # breaches of one row that a reason names


class Changed(NamedTuple):
    """A record that says something else than its source, and how; white space around a turn and a format's own marks do not count."""

    record: Record
    how: tuple[str, ...]


Found = Record | Changed | Refused
Item = tuple[int, Found]


class Format(NamedTuple):
    """One public format: how its rows look to a person, whether a first row is one of them, and the reader of a source.

    Where rows stand by themselves, `read_piece` reads some lines of a source as `read` reads them all: a function that a module has.
    """

    looks: str
    sees: Callable[[Any], bool]
    read: Callable[[Path, str], Iterator[Item]]
    read_piece: Callable[[record_files.Piece], Iterator[Item]] | None = None


def each(path: Path, row: type[S], convert: Callable[[S], Iterable[T]]) -> Iterator[tuple[int, T | Refused]]:
    """Stream a source whose rows fit `row` through `convert`; what fits no schema, there or here, is refused with the reason."""
    for line, value in containers.read(path):
        if isinstance(value, Refused):
            yield line, value
            continue
        try:
            found: list[T | Refused] = [*convert(row.model_validate(value, strict=True))]
        except ValidationError as error:
            found = [refusal(error)]
        for item in found or [Refused("nothing in it to learn from")]:
            yield line, item


def changed(record: R, *how: str | None) -> R | Changed:
    """The record, with the ways in which it was changed where there are any."""
    ways = tuple(way for way in how if way)
    return Changed(record, ways) if ways else record


def has(row: Any, *keys: str, other: Iterable[str] | None = None) -> bool:
    """Whether a row is an object with these keys, and, where `other` names some, with none beside them and those."""
    return (
        isinstance(row, dict) and row.keys() >= set(keys) and (other is None or row.keys() <= {*keys, *other})
    )


def ranks_of(values: Sequence[float | Fraction], best: str = "lowest") -> tuple[int, ...]:
    """The values' weak order: 1 for the `lowest` or `highest`, equal values tie, and gaps between them close."""
    order = {value: rank for rank, value in enumerate(sorted(set(values), reverse=best == "highest"), 1)}
    return tuple(order[value] for value in values)


def refusal(error: ValidationError) -> Refused:
    """A schema's breaches as a reason to count: fields without their places, sentences without their numbers."""
    return _refusal(error.title, tuple(record_files.breaches_of(error)))


@lru_cache(1024)  # a source's rows have their breaches in common
def _refusal(title: str, breaches: tuple[tuple[str, str], ...]) -> Refused:
    told = set[str]()
    for field, message in breaches:
        place = ".".join(part for part in field.split(".") if not part.isdigit())
        told.add(f"{place or title}: {re.sub(r'[0-9]+', '#', message)}")
    more = f"; and {len(told) - TOLD} more" if len(told) > TOLD else ""
    return Refused("; ".join(sorted(told)[:TOLD]) + more)
