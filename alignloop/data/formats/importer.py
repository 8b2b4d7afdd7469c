"""The interface of a format: for each row it yields a record, a changed record or a refusal."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, RootModel, ValidationError

from alignloop.data import record_files
from alignloop.data.formats import containers, unread_fields
from alignloop.data.formats.containers import Refused
from alignloop.records import Record

S = TypeVar("S", bound=BaseModel)
T = TypeVar("T")
R = TypeVar("R", bound=Record)
SHOWN = 3  # violations of one row that a reason names


def _as_text(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


# a text, or a number in its place: a source that has been through a table or a notebook
WrittenText = Annotated[str, BeforeValidator(_as_text)]


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
    `read` imports them all; it must be a module-level function, for worker processes.
    """

    description: str
    matches: Callable[[Any], bool]
    read: Callable[[Path, str], Iterator[ImportedRow]]
    read_piece: Callable[[record_files.Piece], Iterator[ImportedRow]] | None = None


def convert_rows(
    path: Path,
    row: type[S],
    convert: Callable[[S], Iterable[T]],
    whole: bool | None = False,
    turn: Collection[str] = (),
) -> Iterator[tuple[int, T | Refused]]:
    """Stream the rows of a source, parsed as `row`, through `convert`.

    A row that violates the source's schema, or gives a record that violates ours, is refused with the reason.
    So is one with a field that changes its meaning and is not read; with `whole`, with any field that is
    neither read nor metadata, in the row or, beside those named in `turn`, in its turns; None checks none.
    """
    read = fields_of(row)
    for line, value in containers.read(path):
        if isinstance(value, Refused):
            yield line, value
            continue
        try:
            parsed = row.model_validate(value, strict=True)
            lost = _lost(value, read, whole, turn)
            results: list[T | Refused] = [Refused(unread_fields.reason(lost))] if lost else [*convert(parsed)]
        except ValidationError as error:
            results = [schema_refusal(error)]
        for item in results or [Refused("nothing in it to learn from")]:
            yield line, item


def fields_of(row: type[BaseModel]) -> set[str]:
    """The names of the fields that a schema reads; none for one that reads a row as it is."""
    if issubclass(row, RootModel):
        return set()
    names = set[str]()
    for key, field in row.model_fields.items():
        other = field.validation_alias
        names |= {key, *(map(str, other.choices) if isinstance(other, AliasChoices) else [other or key])}
    return {str(name) for name in names}


def _lost(value: Any, read: set[str], whole: bool | None, turn: Collection[str]) -> list[str]:
    if whole is None or not isinstance(value, dict):
        return []
    return unread_fields.unread(value, read, turn) if whole else unread_fields.meaning_lost(value, read)


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
