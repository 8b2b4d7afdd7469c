"""Guesses the format of a source from its first row."""

from pathlib import Path
from typing import Any

from alignloop.data.compression import suffixes
from alignloop.data.formats import FORMATS, containers
from alignloop.data.formats.containers import Refused
from alignloop.data.input_files import DataError, open_input
from alignloop.data.strict_json import InvalidJson, parse_json

PLAIN = Refused("a line of text")


def sniff(path: Path) -> str:
    """The name of the source's format.

    Raises DataError, which describes the first row, if no format matches.
    """
    if _has_text_name(path):
        return _matching(_first_row_of_text(path)) or "text"
    line, row = _first_row(path)
    if row is None:
        raise DataError(f"{path}: the file is empty; remove it, or fetch it again")
    if name := _matching(row):
        return name
    if isinstance(row, Refused):
        start = _first_line(path)[:60]
        raise DataError(
            f"{path}:{line}: no format can be recognised: {row.reason}: it begins with {start!r}; {_remedy()}"
        )
    raise DataError(f"{path}:{line}: no known format: its first row is {_description(row)}; {_remedy()}")


def glance(path: Path) -> str:
    """A sentence that describes the source's first row, and the format that it matches."""
    row = _first_row_of_text(path) if _has_text_name(path) else _first_row(path)[1]
    name = _matching(row)
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


def _matching(row: Any) -> str | None:
    """The name of the first format that a row matches."""
    if isinstance(row, Refused):
        return None
    return next((name for name, format in FORMATS.items() if format.matches(row)), None)


def _description(row: Any) -> str:
    if isinstance(row, Refused):
        return row.reason
    if isinstance(row, dict):
        keys = ", ".join(repr(key[:40]) for key in list(row)[:8])
        return f"an object with {keys}" if row else "an empty object"
    return f"a bare {type(row).__name__}"


def _has_text_name(path: Path) -> bool:
    return bool({".txt", ".md"} & suffixes(path)) and not path.is_dir()


def _remedy() -> str:
    known = "; ".join(f"{name}: {format.description}" for name, format in FORMATS.items())
    return (
        "name its format in ingest.formats, 'skip' to leave it out, or map its columns in ingest.columns. "
        f"Known formats: {known}"
    )
