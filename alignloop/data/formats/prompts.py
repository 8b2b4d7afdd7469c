"""Bare prompts: each row is a JSON string, as in Open-Assistant's lists for manual evaluation.

https://github.com/LAION-AI/Open-Assistant
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import RootModel

from alignloop.data.formats.importer import Format, ImportedRow, convert_rows
from alignloop.data.formats.record_builders import prompt
from alignloop.data.formats.role_marks import asked


class Text(RootModel[str]):
    pass


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Text, lambda text: [prompt("prompts", asked(text.root), source)])


PROMPTS = Format('"a text" on each line', lambda row: isinstance(row, str), _read)
