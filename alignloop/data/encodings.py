"""Reads text files in UTF-16 or UTF-32, which begin with a byte-order mark, as UTF-8."""

import codecs
import io
from typing import IO, Any

MARKS = {  # UTF-32's begins like UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
PART = 2**16  # characters
TO_UTF8 = "save the file as UTF-8, or convert it (from Windows: `iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW`)"


class BrokenText(Exception):
    """A file that is not in the encoding that it begins with."""


def as_utf8(stream: IO[bytes], start: bytes) -> IO[bytes]:
    """A stream as UTF-8 without a byte-order mark, if it begins with one; else the stream itself."""
    if start.startswith(codecs.BOM_UTF8):  # Excel and PowerShell write it
        stream.read(len(codecs.BOM_UTF8))
        return stream
    encoding = next((name for mark, name in MARKS.items() if start.startswith(mark)), None)
    return io.BufferedReader(_Utf8(stream, encoding)) if encoding else stream


class _Utf8(io.RawIOBase):
    """The bytes of a text in another encoding as UTF-8."""

    def __init__(self, stream: Any, encoding: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding, newline="")
        self._encoding = encoding
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._ready:
            try:
                self._ready = self._text.read(PART).encode()
            except UnicodeError:
                raise BrokenText(f"is not {self._encoding.upper()}, as its byte-order mark says") from None
        given = self._ready[: len(buffer)]
        buffer[: len(given)] = given
        self._ready = self._ready[len(given) :]
        return len(given)
