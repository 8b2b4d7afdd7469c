"""The elements of a JSON array that may be larger than memory: each one's text, and the line it begins on."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn

from alignloop.data.record_files import DataError

CHUNK = 2**16
SPACE = " \t\r\n"
_skimmer = json.JSONDecoder(
    parse_int=str, parse_float=str
)  # finds where an element ends; numbers of any length


def elements(file: IO[bytes], path: Path, longest: int) -> Iterator[tuple[int, str]]:
    """Stream the elements of the array that a file holds. Raises DataError where it is cut short, broken, or followed by more."""
    text = _Text(file, path)
    text.skip()
    text.take("[", "an array must begin")
    text.skip()
    while text.ahead() != "]":
        yield text.line, text.element(longest)
        text.skip()
        if text.ahead() != "]":
            text.take(",", "a comma or the array's end must stand")
            text.skip()
    text.take("]", "the array must end")
    text.skip()
    if text.ahead():
        text.fail(
            "more follows after the array's end; give each array a file of its own, or write JSON Lines"
        )


class _Text:
    """The part of a file in memory, a place in it, and the line of that place."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path = file, path
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._place, self._ended, self.line = "", 0, False, 1

    def fail(self, words: str) -> NoReturn:
        raise DataError(f"{self._path}:{self.line}: {words}")

    def ahead(self) -> str:
        """The next character; none at the end."""
        while self._place == len(self._text) and self._more(CHUNK):
            pass
        return self._text[self._place : self._place + 1]

    def skip(self) -> None:
        """Go on to what is no white space."""
        while (character := self.ahead()) and character in SPACE:
            self.line += character == "\n"
            self._place += 1

    def take(self, wanted: str, words: str) -> None:
        """Go past a character that must stand here."""
        if self.ahead() != wanted:
            self.fail(f"broken JSON: {words} here; fetch the file again, or correct it")
        self._place += 1

    def element(self, longest: int) -> str:
        """The text of the value that begins here, read on until it is whole; the place is then behind it."""
        while True:
            try:
                _, end = _skimmer.raw_decode(self._text, self._place)
                if end < len(self._text) or self._ended:
                    break
            except json.JSONDecodeError as error:
                if self._ended:
                    self.fail(
                        f"broken JSON, or a file cut short, in the value that begins here: {error.msg}; fetch the file again"
                    )
            except RecursionError:
                self.fail("JSON nested too deeply; take that value out")
            held = len(self._text) - self._place
            if held > longest:
                self.fail(
                    f"a value of more than {longest >> 20} MiB begins here, or one that never ends; take it out"
                )
            self._more(max(CHUNK, held))
        value = self._text[self._place : end]
        self.line += value.count("\n")
        self._place = end
        return value

    def _more(self, amount: int) -> bool:
        raw = b"" if self._ended else self._file.read(amount)
        self._ended = not raw
        if b"\0" in raw:
            self.fail("NUL bytes from here on: not UTF-8, or no text; fetch the file again")
        try:
            self._text = self._text[self._place :] + self._decoder.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            self.line += self._text.count("\n", self._place) + raw.count(b"\n", 0, error.start)
            self.fail("from here on, not all is UTF-8; convert the file with `iconv -t UTF-8`")
        self._place = 0
        return not self._ended
