"""Streams the elements of a JSON array that may be larger than memory, with the lines they begin on."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn

from alignloop.data.encodings import TO_UTF8
from alignloop.data.input_files import DataError, open_input

CHUNK = 2**16
SPACE = " \t\r\n"
WRAPPERS = (
    *("data", "rows", "examples", "records", "samples", "dataset", "entries", "items", "results"),
    *("train", "validation", "valid", "dev", "test"),
)
DESCRIPTIONS = ("features", "columns", "fields")  # of the rows, beside them
PARTS_OF_A_ROW = (
    *("messages", "conversations", "conversation", "chosen", "rejected", "prompt", "answers", "questions"),
    *("instances", "utterances", "completions", "summaries", "annotations", "replies", "tools", "functions"),
)
# finds the end of an element; numbers may have any length
_skimmer = json.JSONDecoder(parse_int=str, parse_float=str)


def elements(file: IO[bytes], path: Path, longest: int) -> Iterator[tuple[int, str]]:
    """Stream the texts of an array's elements.

    Raises DataError if it is truncated, broken or not the only value.
    """
    text = _Text(file, path)
    text.skip()
    if text.ahead() == "{":
        yield from _wrapped(text, longest)
    else:
        yield from _array(text, longest)
    text.skip()
    if text.ahead():
        text.fail("more follows the end of the array; put each array into its own file, or write JSON Lines")


def is_wrapped(path: Path) -> bool:
    """Whether a file is one object with an array of objects in it, which are the rows."""
    with open_input(path) as file:
        start = file.read(CHUNK).decode(errors="replace")
    key, place = _first_list(start)
    if not key or key in PARTS_OF_A_ROW:
        return False
    first, _, more = start.lstrip().partition("\n")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        # of one line, but longer than what was read, or of several; a second row would be a line of its own
        return "\n" in start[:place] or (not more and key in WRAPPERS)
    return not more.strip() and key in WRAPPERS


def _first_list(start: str) -> tuple[str, int]:
    """The key of an object's first array of objects, and where the first of these begins; no key: none."""
    place = _behind_space(start, 0) + 1
    try:
        while start[_behind_space(start, place)] == '"':
            key, place = _skimmer.raw_decode(start, _behind_space(start, place))
            place = _behind_space(start, place)
            if start[place] != ":":
                break
            place = _behind_space(start, place + 1)
            if start[place] == "[" and key not in DESCRIPTIONS:
                item = _behind_space(start, place + 1)
                if start[item] == "{":
                    return key, item
            _, place = _skimmer.raw_decode(start, place)
            place = _behind_space(start, place)
            if start[place] != ",":
                break
            place += 1
    except (ValueError, RecursionError, IndexError):  # no JSON, or it goes on behind what was read
        pass
    return "", 0


def _behind_space(text: str, place: int) -> int:
    while text[place] in SPACE:
        place += 1
    return place


def _wrapped(text: "_Text", longest: int) -> Iterator[tuple[int, str]]:
    """The elements of the one array of objects that an object holds; its other values are skipped."""
    text.take("{", "an object must begin")
    found = 0
    text.skip()
    while text.ahead() != "}":
        key = text.element(longest)[1:-1]
        text.skip()
        text.take(":", "a colon must be")
        text.skip()
        if text.ahead() == "[" and key not in DESCRIPTIONS:
            elements = _array(text, longest)
            first = next(elements, None)
            if first and first[1].startswith("{"):
                found += 1
                yield first
                yield from elements
            for _ in elements:
                pass
        else:
            text.element(longest)
        if found > 1:
            text.fail("a second list of rows ends here; put each list into a file of its own")
        text.skip()
        if text.ahead() != "}":
            text.take(",", "a comma or the end of the object must be")
            text.skip()
    text.take("}", "the object must end")


def _array(text: "_Text", longest: int) -> Iterator[tuple[int, str]]:
    text.take("[", "an array must begin")
    text.skip()
    while text.ahead() != "]":
        yield text.line, text.element(longest)
        text.skip()
        if text.ahead() != "]":
            text.take(",", "a comma or the end of the array must be")
            text.skip()
    text.take("]", "the array must end")


class _Text:
    """The part of a file in memory, the position in it, and the line of that position."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path = file, path
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._place = 0
        self._ended = False
        self.line = 1

    def fail(self, message: str) -> NoReturn:
        raise DataError(f"{self._path}:{self.line}: {message}")

    def ahead(self) -> str:
        """The next character; empty at the end of the file."""
        while self._place == len(self._text) and self._more(CHUNK):
            pass
        return self._text[self._place : self._place + 1]

    def skip(self) -> None:
        """Skip white space."""
        while (character := self.ahead()) and character in SPACE:
            self.line += character == "\n"
            self._place += 1

    def take(self, expected: str, message: str) -> None:
        """Skip a character that must be here."""
        if self.ahead() != expected:
            self.fail(f"broken JSON: {message} here; fetch the file again, or correct it")
        self._place += 1

    def element(self, longest: int) -> str:
        """The text of the value that begins here; reads until it is complete, and moves behind it."""
        while True:
            try:
                _, end = _skimmer.raw_decode(self._text, self._place)
                if end < len(self._text) or self._ended:
                    break
            except json.JSONDecodeError as error:
                if self._ended:
                    self.fail(
                        "broken JSON, or a truncated file, in the value that begins here: "
                        f"{error.msg}; fetch the file again"
                    )
            except RecursionError:
                self.fail("JSON nested too deeply; remove that value")
            length = len(self._text) - self._place
            if length > longest:
                self.fail(
                    f"a value of more than {longest >> 20} MiB begins here, or one that never ends; remove it"
                )
            self._more(max(CHUNK, length))
        value = self._text[self._place : end]
        self.line += value.count("\n")
        self._place = end
        return value

    def _more(self, amount: int) -> bool:
        raw = b"" if self._ended else self._file.read(amount)
        self._ended = not raw
        if b"\0" in raw:
            self.fail("NUL bytes from here on: not UTF-8, or not text; fetch the file again")
        try:
            self._text = self._text[self._place :] + self._decoder.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            self.line += self._text.count("\n", self._place) + raw.count(b"\n", 0, error.start)
            self.fail(f"not valid UTF-8 from here on; {TO_UTF8}")
        self._place = 0
        return not self._ended
