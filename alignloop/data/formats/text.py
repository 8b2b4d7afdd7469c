"""Plain text as a pretraining corpus: neighbouring paragraphs are joined into documents of bounded length.

Only white space is lost. A line of any length is read in parts.
"""

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from alignloop.data.content_ids import content_id
from alignloop.data.encodings import TO_UTF8
from alignloop.data.formats.importer import Format, ImportedRow
from alignloop.data.input_files import DataError, open_input
from alignloop.records import Document

BOUND = 500  # characters, to fit small contexts
PART = 2**16  # characters of a line that are read at a time
# where a paragraph that is too long is cut, in order of preference
BREAKS = (re.compile(r"\n"), re.compile(r"[.!?]['\")]*\s"), re.compile(r"\s"))

Lines = Iterable[tuple[int, str]]  # numbered, with line ends; a part of a line has no end


def documents(lines: Lines, name: str, source: str) -> Iterator[tuple[int, Document]]:
    """Split lines of text into documents, each with the line it begins on; `name` is part of their ids."""
    for number, (line, text) in enumerate(_groups(lines), 1):
        yield line, Document(id=content_id("text", name, str(number)), text=text, source=source)


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return documents(_lines(path), source, source)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    line = 1
    with open_input(path) as file:
        parts = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
        try:
            while part := parts.readline(PART):
                if "\0" in part or (line == 1 and part.startswith("\ufeff")):
                    raise DataError(
                        f"{path}:{line}: a byte-order mark or NUL bytes; "
                        "save the file as UTF-8 text without them"
                    )
                ended = part.endswith("\n")
                yield line, part.rstrip("\r\n") + "\n" if ended else part
                line += ended
        except UnicodeDecodeError:
            raise DataError(f"{path}:{line}: not valid UTF-8 from here on; {TO_UTF8}") from None


def _groups(lines: Lines) -> Iterator[tuple[int, str]]:
    group, begin = "", 0
    for line, piece in _pieces(lines):
        if group and len(group) + 2 + len(piece) > BOUND:
            yield begin, group
            group = ""
        group, begin = (f"{group}\n\n{piece}", begin) if group else (piece, line)
    if group:
        yield begin, group


def _pieces(lines: Lines) -> Iterator[tuple[int, str]]:
    """The paragraphs with the lines they begin on; a paragraph that is longer than BOUND is cut."""
    paragraph, begin = "", 0
    for line, text in lines:
        if text.strip():
            paragraph, begin = (paragraph + text, begin) if paragraph else (text, line)
        if paragraph and (not text.strip() or len(paragraph) > 2 * BOUND):
            *complete, last = list(_cut(paragraph, begin)) or [(line, "")]
            yield from complete
            if text.endswith("\n"):
                yield last
                paragraph = ""
            else:  # the line continues: the rest of this part begins the next paragraph
                begin, paragraph = last
    yield from _cut(paragraph, begin)


def _cut(text: str, line: int) -> Iterator[tuple[int, str]]:
    text = text.rstrip("\n")
    while len(text) > BOUND:
        ends = (
            max((match.end() for match in pattern.finditer(text, 0, BOUND)), default=0) for pattern in BREAKS
        )
        place = next((end for end in ends if end > BOUND // 2), BOUND)
        if piece := text[:place].strip():
            yield line, piece
        rest = text[place:].lstrip()
        line += text.count("\n", 0, len(text) - len(rest))
        text = rest
    if text.strip():
        yield line, text


TEXT = Format("plain text in a .txt or .md file", lambda row: False, _read)
