"""Tries what several formats make of a source's first rows, where all of them recognise the first one.

Readings are the same if they learn the same from the same texts; names, categories and users do not count.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alignloop.data.formats.importer import Changed, Format, Refused
from alignloop.records import Demonstration, Document, Prompt, Ranking

LINES = 20  # rows that are tried, by the line that they begin on


class Reading(NamedTuple):
    """What a format makes of a source's first rows: the content of their records by line."""

    format: str
    content: dict[int, list[Any]]
    records: str


def readings(path: Path, source: str, formats: dict[str, Format]) -> Iterator[Reading]:
    """The readings of the formats that accept at least one of the first rows."""
    for name, format in formats.items():
        content: dict[int, list[Any]] = {}
        kinds = dict[str, None]()
        begin = None
        for line, item in format.read(path, source):
            begin = line if begin is None else begin
            if line >= begin + LINES:
                break
            if not isinstance(item, Refused):
                record = item.record if isinstance(item, Changed) else item
                content.setdefault(line, []).append(_content(record))
                kinds[type(record).__name__.lower()] = None
        if content:
            yield Reading(name, content, f"{' and '.join(kinds)}s")


def differ(first: Reading, second: Reading) -> bool:
    """Whether two readings differ on a row that both accept."""
    shared = first.content.keys() & second.content.keys()
    return any(first.content[line] != second.content[line] for line in shared)


def _content(record: Any) -> tuple[Any, ...]:
    """What is learned from a record."""
    if isinstance(record, Ranking):
        return ("ranking", _turns(record.prompt), record.responses, record.ranks)
    if isinstance(record, Document) and record.text is not None:
        return ("document", record.text.strip())
    return (type(record).__name__, _turns(record))


def _turns(record: Prompt | Demonstration | Document) -> Sequence[tuple[str, str]]:
    return [(message.role, message.content.strip()) for message in record.messages or ()]
