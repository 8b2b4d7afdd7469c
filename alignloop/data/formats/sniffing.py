"""Guesses the format of a source from its first rows."""

from pathlib import Path
from typing import Any

from alignloop.data.compression import suffixes
from alignloop.data.formats import FORMATS, containers
from alignloop.data.formats.importer import Format
from alignloop.data.formats.readings import differ, readings
from alignloop.data.formats.refused_rows import Refused
from alignloop.data.formats.unread_fields import is_empty, is_metadata
from alignloop.data.input_files import DataError, open_input
from alignloop.data.strict_json import InvalidJson, parse_json

PLAIN = Refused("a line of text")


def sniff(path: Path, source: str = "") -> str:
    """The name of the source's format; `source` is its name among the sources.

    Raises DataError, which describes the first row, if no format matches, and if formats match that would
    read it differently.
    """
    source = source or path.name
    if _has_text_name(path):
        return _chosen(path, source, _first_row_of_text(path)) or "text"
    line, row = _first_row(path)
    if row is None:
        raise DataError(f"{path}: the file is empty; remove it, or fetch it again")
    if name := _chosen(path, source, row):
        return name
    if isinstance(row, Refused):
        start = _first_line(path)[:60]
        raise DataError(
            f"{path}:{line}: no format can be recognised: {row.reason}: it begins with {start!r}; "
            f"{_remedy(source)}"
        )
    raise DataError(
        f"{path}:{line}: no known format: its first row is {_description(row)}; "
        f"{_near(row) if isinstance(row, dict) else ''}{_remedy(source)}"
    )


def _chosen(path: Path, source: str, row: Any) -> str | None:
    """The first of the formats that match and accept a row, if the others would read the same."""
    matching = _matching(row)
    if len(matching) < 2:
        return next(iter(matching), None)
    accepted = list(readings(path, source, matching))
    if not accepted:
        return next(iter(matching))
    first = accepted[0]
    others = [reading for reading in accepted[1:] if differ(first, reading)]
    if others:
        seen = " or ".join(f"{reading.records} ({reading.format})" for reading in (first, *others))
        lines = " or ".join(
            f'ingest.formats: {{"{source}": {reading.format}}}' for reading in (first, *others)
        )
        raise DataError(f"{path}: its first rows may be read as {seen}; write which is meant: {lines}")
    return first.format


def glance(path: Path) -> str:
    """A sentence that describes the source's first row, and the format that it matches."""
    row = _first_row_of_text(path) if _has_text_name(path) else _first_row(path)[1]
    name = next(iter(_matching(row)), None)
    return f"the first row is {_description(row)}" + (f", which looks like {name}" if name else "")


def _first_row(path: Path) -> containers.NumberedRow:
    return next(containers.read(path), (0, None))


def _first_row_of_text(path: Path) -> Any:
    """The first row of a .txt or .md file if its first two lines are JSON; PLAIN otherwise."""
    with open_input(path) as file:
        first = file.readline(containers.LONGEST)
        lines = iter(lambda: file.readline(containers.LONGEST), b"")
        second = next((line for line in lines if not line.isspace()), b"null")
    try:
        row, _ = (parse_json(line.decode(errors="replace")) for line in (first, second))
    except InvalidJson:
        return PLAIN
    return PLAIN if isinstance(row, str) else row


def _first_line(path: Path) -> str:
    with open_input(path) as file:
        return file.readline(containers.LONGEST).decode(errors="replace")


def _matching(row: Any) -> dict[str, Format]:
    """The formats that a row matches."""
    if isinstance(row, Refused):
        return {}
    return {name: format for name, format in FORMATS.items() if format.matches(row)}


def _near(row: Any) -> str:
    """Which formats would read a row if one field were not in it."""
    said = [name for name, value in row.items() if not (is_empty(value) or is_metadata(name))]
    for lost in said if len(said) > 2 else ():
        rest = {name: value for name, value in row.items() if name != lost}
        if names := " or ".join(_matching(rest)):
            return f"without {lost!r} it would be read as {names}; "
    return ""


def _description(row: Any) -> str:
    if isinstance(row, Refused):
        return row.reason
    if isinstance(row, dict):
        keys = ", ".join(repr(key[:40]) for key in list(row)[:8])
        return f"an object with {keys}" if row else "an empty object"
    return f"a bare {type(row).__name__}"


def _has_text_name(path: Path) -> bool:
    return bool({".txt", ".md"} & suffixes(path)) and not path.is_dir()


def _remedy(source: str) -> str:
    return (
        "name its format in ingest.formats, 'skip' to leave it out, or map its columns: "
        f'ingest.columns: {{"{source}": {{prompt: COLUMN, answer: COLUMN}}}} (data/README.md). '
        f"Known formats: {', '.join(FORMATS)}"
    )
