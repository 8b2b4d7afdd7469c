"""Plain text as corpus: neighbouring paragraphs together, up to a bound, so that each piece keeps some context and none is endless.

Nothing but white space is lost. A line of any length is read in parts.
"""

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from alignloop.data.content_ids import identify
from alignloop.data.formats.importer import Format, Item
from alignloop.data.record_files import DataError, opened
from alignloop.records import Document

BOUND = 500  # characters; what small contexts hold
PART = 2**16  # characters of a line that are read at once
BREAKS = (
    re.compile(r"\n"),
    re.compile(r"[.!?]['\")]*\s"),
    re.compile(r"\s"),
)  # where a paragraph that is too long is cut, best first

Lines = Iterable[tuple[int, str]]  # numbered, with their ends; a part of a line has none


def documents(lines: Lines, name: str, source: str) -> Iterator[tuple[int, Document]]:
    """The documents that some lines of text are cut into, each with the line it begins on; `name` keeps their ids apart."""
    for number, (line, text) in enumerate(_groups(lines), 1):
        yield line, Document(id=identify("text", name, str(number)), text=text, source=source)


def _read(path: Path, source: str) -> Iterator[Item]:
    return documents(_lines(path), source, source)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    line = 1
    with opened(path) as file:
        parts = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
        try:
            while part := parts.readline(PART):
                if "\0" in part or (line == 1 and part.startswith("\ufeff")):
                    raise DataError(
                        f"{path}:{line}: a byte-order mark or NUL bytes: save the file as UTF-8 text without them"
                    )
                ended = part.endswith("\n")
                yield line, part.rstrip("\r\n") + "\n" if ended else part
                line += ended
        except UnicodeDecodeError:
            raise DataError(
                f"{path}:{line}: not UTF-8 from here on; convert the file with `iconv -t UTF-8`"
            ) from None


def _groups(lines: Lines) -> Iterator[tuple[int, str]]:
    group, began = "", 0
    for line, piece in _pieces(lines):
        if group and len(group) + 2 + len(piece) > BOUND:
            yield began, group
            group = ""
        group, began = (f"{group}\n\n{piece}", began) if group else (piece, line)
    if group:
        yield began, group


def _pieces(lines: Lines) -> Iterator[tuple[int, str]]:
    """Paragraphs with the line each begins on, cut where one is longer than the bound."""
    paragraph, began = "", 0
    for line, text in lines:
        if text.strip():
            paragraph, began = (paragraph + text, began) if paragraph else (text, line)
        if paragraph and (not text.strip() or len(paragraph) > 2 * BOUND):
            *whole, last = list(_cut(paragraph, began)) or [(line, "")]
            yield from whole
            if text.endswith("\n"):
                yield last
                paragraph = ""
            else:  # the line goes on: what is left of this part begins the next
                began, paragraph = last
    yield from _cut(paragraph, began)


def _cut(text: str, line: int) -> Iterator[tuple[int, str]]:
    text = text.rstrip("\n")
    while len(text) > BOUND:
        ends = (max((found.end() for found in each.finditer(text, 0, BOUND)), default=0) for each in BREAKS)
        place = next((end for end in ends if end > BOUND // 2), BOUND)
        if piece := text[:place].strip():
            yield line, piece
        rest = text[place:].lstrip()
        line += text.count("\n", 0, len(text) - len(rest))
        text = rest
    if text.strip():
        yield line, text


TEXT = Format("plain text in a file called .txt or .md", lambda row: False, _read)
