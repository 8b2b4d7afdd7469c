"""Bare prompts: each row a JSON string, such as Open-Assistant's lists for manual evaluation. https://github.com/LAION-AI/Open-Assistant"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import RootModel

from alignloop.data.formats.importer import Format, Item, each
from alignloop.data.formats.record_builders import prompt


class Text(RootModel[str]):
    pass


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Text, lambda text: [prompt("prompts", [("user", text.root)], source)])


PROMPTS = Format('"a text" on each line', lambda row: isinstance(row, str), _read)
