"""What an importer yields for a line of a source: a record, or the reason why there is none."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from alignloop.io import datasets
from alignloop.records import Record

S = TypeVar("S", bound=BaseModel)


class Refused(NamedTuple):
    """A record that the source holds and that cannot be used; reasons are counted, so they name no content."""

    reason: str


Item = tuple[int, Record | Refused]


class Format(NamedTuple):
    """One public format: how its records look to a person, whether a first row is one of them, and the reader."""

    looks: str
    sees: Callable[[dict[str, Any]], bool]
    read: Callable[[Path, str], Iterator[Item]]


def each(path: Path, row: type[S], convert: Callable[[S], Iterable[Record | Refused]]) -> Iterator[Item]:
    """Stream a JSON Lines file whose rows fit `row` through `convert`; what fits no schema, there or here, is refused with the reason."""
    for line, value in datasets.read_rows(path):
        try:
            found = list(convert(row.model_validate(value, strict=True)))
        except ValidationError as error:
            found = [refusal(error)]
        yield from ((line, item) for item in found)


def refusal(error: ValidationError) -> Refused:
    """A schema's breaches as a reason to count: fields without their places, sentences without their numbers."""
    breaches: set[str] = set()
    for field, message in datasets.breaches_of(error):
        place = ".".join(part for part in field.split(".") if not part.isdigit())
        breaches.add(f"{place or error.title}: {re.sub(r'[0-9]+', '#', message)}")
    return Refused("; ".join(sorted(breaches)))
