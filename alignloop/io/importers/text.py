"""Plain text as corpus: neighbouring paragraphs together, up to a bound, so that each piece keeps some context and none is endless."""

import re
from collections.abc import Iterator
from pathlib import Path

from alignloop.io import datasets
from alignloop.io.identity import identify
from alignloop.io.importers.item import Format, Item
from alignloop.records import Document

BOUND = 500  # characters; what small contexts hold
BREAKS = (re.compile(r"\n"), re.compile(r"[.!?]['\")]*\s"), re.compile(r"\s"))  # where a paragraph that is too long is cut, best first


def _read(path: Path, source: str) -> Iterator[Item]:
    for number, (line, text) in enumerate(_groups(path), 1):
        yield line, Document(id=identify("text", source, str(number)), text=text, source=source)


def _groups(path: Path) -> Iterator[tuple[int, str]]:
    group, began = "", 0
    for line, piece in _pieces(path):
        if group and len(group) + 2 + len(piece) > BOUND:
            yield began, group
            group = ""
        group, began = (f"{group}\n\n{piece}", began) if group else (piece, line)
    if group:
        yield began, group


def _pieces(path: Path) -> Iterator[tuple[int, str]]:
    """Paragraphs with the line each begins on, cut where one is longer than the bound."""
    paragraph: list[str] = []
    line = 0
    for line, text in datasets.read_text(path):
        if text.strip():
            paragraph.append(text)
        if paragraph and (not text.strip() or sum(map(len, paragraph)) > 2 * BOUND):
            yield from _cut("\n".join(paragraph), line - len(paragraph) + bool(text.strip()))
            paragraph = []
    if paragraph:
        yield from _cut("\n".join(paragraph), line - len(paragraph) + 1)


def _cut(text: str, line: int) -> Iterator[tuple[int, str]]:
    while len(text) > BOUND:
        ends = (max((found.end() for found in each.finditer(text, 0, BOUND)), default=0) for each in BREAKS)
        place = next((end for end in ends if end > BOUND // 2), BOUND)
        yield line, text[:place].strip()
        rest = text[place:].lstrip()
        line += text.count("\n", 0, len(text) - len(rest))
        text = rest
    if text:
        yield line, text


TEXT = Format("plain text in a file called .txt or .md", lambda row: False, _read)
