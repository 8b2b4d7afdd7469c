"""Documents of a folder: text, Markdown, HTML, PDF and JSON Lines. What cannot be read is named, and why."""

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from alignloop.data.encodings import TO_UTF8, BrokenText, as_utf8
from alignloop.data.forgotten import ForgottenUsers
from alignloop.errors import AlignloopError
from alignloop.retrieval.pages import Unreadable, html, pdf

LARGEST = 50 * 2**20  # bytes of a file that is read whole, and of a line of JSON
HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair
FIELDS = {"id", "title", "text", "licence", "user"}


@dataclass(frozen=True)
class Document:
    """A document: its id is its path below the folder, or what its JSON object says."""

    id: str
    title: str
    text: str
    licence: str
    user: str | None = None


@dataclass(frozen=True)
class Refused:
    """A file or a line that cannot be read: where, why, and what helps."""

    place: str
    reason: str  # one of few words, to be counted
    message: str


def read_folder(folder: Path, licence: str, forgotten: ForgottenUsers | None) -> Iterator[Document | Refused]:
    """All documents below a folder in the order of their names; hidden files are passed over.

    `licence` is that of all that state none. Documents of forgotten users are refused.
    """
    for path in _entries(folder):
        if isinstance(path, Refused):
            yield path
            continue
        name = _printable(path, folder)
        try:
            if name != path.relative_to(folder).as_posix():
                raise Unreadable("name", "its name is not UTF-8; rename it")
            if not path.is_file():
                if path.is_symlink():
                    raise Unreadable("link", "is a link to nothing; mend it, or remove it")
                raise Unreadable("special", "is a pipe, a socket or a device; take it out of the folder")
            if path.suffix.lower() == ".jsonl":
                yield from _lines(path, name, licence, forgotten)
            else:
                yield _whole(path, name, licence)
        except Unreadable as error:
            yield Refused(name, error.reason, str(error))
        except OSError as error:
            yield Refused(name, "unreadable", f"cannot be read ({error.strerror}); make it readable")


def _entries(folder: Path) -> list[Path | Refused]:
    """All files below a folder in the order of their paths, and the folders that are not looked into."""
    found: list[tuple[Path, Path | Refused]] = []

    def unread(error: OSError) -> None:
        path = Path(error.filename)
        words = f"cannot be looked into ({error.strerror}); make it readable"
        found.append((path, Refused(_printable(path, folder), "unreadable", words)))

    for place, folders, files in os.walk(folder, onerror=unread):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(place, name) for name in folders):
            if path.is_symlink():
                words = "is a link to a folder, which is not followed; move the folder itself there"
                found.append((path, Refused(_printable(path, folder), "link", words)))
        found += [(path, path) for name in files if not name.startswith(".") for path in [Path(place, name)]]
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


def _printable(path: Path, folder: Path) -> str:
    """A path below the folder; bytes of it that are not UTF-8 are escaped."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode(errors="backslashreplace")


def _whole(path: Path, name: str, licence: str) -> Document:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = " ".join(sorted([*READERS, ".jsonl"]))
        raise Unreadable("format", f"has no known ending ({known}); convert it, or take it out of the folder")
    if (size := path.stat().st_size) > LARGEST:
        raise Unreadable(
            "huge", f"has {size / 2**20:,.0f} MiB, at most {LARGEST // 2**20} are read; split it into several"
        )
    title, text = reader(path)
    if not text.strip():
        raise Unreadable("empty", "holds no text (a scan without words?); take it out of the folder")
    return Document(name, " ".join(title.split()) or path.stem, text, licence)


def _decoded(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark."""
    raw = path.read_bytes()
    try:
        text = as_utf8(io.BytesIO(raw), raw[:4]).read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("encoding", f"byte {error.start} is not UTF-8; {TO_UTF8}") from None
    except BrokenText as error:
        raise Unreadable("encoding", f"{error}; {TO_UTF8}") from None
    if "\x00" in text:
        raise Unreadable("binary", "holds zero bytes: it is no text; take it out of the folder")
    return text


def _plain(path: Path) -> tuple[str, str]:
    return "", _decoded(path)


def _markdown(path: Path) -> tuple[str, str]:
    text = _decoded(path)
    heading = re.search(r"^#\s+(.+?)\s*#*\s*$", text, re.MULTILINE)
    return heading[1] if heading else "", text


def _html(path: Path) -> tuple[str, str]:
    return html(_decoded(path))


READERS: dict[str, Callable[[Path], tuple[str, str]]] = {
    ".txt": _plain,
    ".md": _markdown,
    ".html": _html,
    ".htm": _html,
    ".pdf": pdf,
}


def _lines(
    path: Path, name: str, licence: str, forgotten: ForgottenUsers | None
) -> Iterator[Document | Refused]:
    """A document for each line: an object with `text`, and perhaps `id`, `title`, `licence` and `user`."""
    with path.open("rb") as raw:
        start = raw.read(4)
        raw.seek(0)
        number, found = 0, False
        file = as_utf8(raw, start)
        while line := _line(file, number + 1):
            number += 1
            if not line.strip():
                continue
            place, found = f"{name}:{number}", True
            try:
                yield _of_line(line, place, licence, forgotten)
            except Unreadable as error:
                yield Refused(place, error.reason, str(error))
    if not found:
        raise Unreadable("empty", "holds no line; take it out of the folder")


def _line(file: IO[bytes], number: int) -> bytes:
    try:
        line = file.readline(LARGEST + 1)
    except BrokenText as error:
        raise Unreadable("encoding", f"{error}; {TO_UTF8}") from None
    if len(line) > LARGEST:
        raise Unreadable(
            "huge", f"line {number} has more than {LARGEST // 2**20} MiB; split it, or leave it out"
        )
    return line


def _of_line(line: bytes, place: str, licence: str, forgotten: ForgottenUsers | None) -> Document:
    try:
        found = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise Unreadable("encoding", f"byte {error.start} is not UTF-8; {TO_UTF8}") from None
    except (ValueError, RecursionError):
        raise Unreadable("broken", "is no JSON object; mend or remove the line") from None
    if not isinstance(found, dict) or not isinstance(found.get("text"), str) or not found["text"].strip():
        raise Unreadable("broken", "has no `text`; give each line an object with one, or remove it")
    if wrong := [key for key in found.keys() & FIELDS if not isinstance(found[key], str)]:
        raise Unreadable("broken", f"its `{sorted(wrong)[0]}` is no text; mend it")
    if half := [key for key in ("id", "licence", "user") if HALF.search(found.get(key, ""))]:
        raise Unreadable("broken", f"its `{half[0]}` holds half a surrogate pair; mend it")
    user = found.get("user")
    if forgotten is not None and user in forgotten:
        raise Unreadable("forgotten", "its user is in data/forgotten.txt; remove the line")
    if "licence" in found:
        try:
            from alignloop.data.formats.sources import checked_licence  # a second, and a search needs none

            licence = checked_licence("licence", found["licence"])
        except AlignloopError as error:
            raise Unreadable("licence", f"its {error}") from None
    text = found["text"]
    title = " ".join(found.get("title", "").split()) or text.split("\n")[0][:60].strip()
    return Document(found.get("id", place), title, text, licence, user)


def documents_of(folder: Path, users: set[str]) -> Iterator[Document]:
    """The documents of these users below a folder: lines of JSON, which alone state one."""
    for path in _entries(folder):
        if isinstance(path, Path) and path.suffix.lower() == ".jsonl" and path.is_file():
            try:
                found = list(_lines(path, path.relative_to(folder).as_posix(), "", None))
            except (Unreadable, OSError):
                continue
            yield from (each for each in found if isinstance(each, Document) and each.user in users)


def content_of(documents: list[Document], settings: str) -> str:
    """The hash of all that an index is made of."""
    digest = hashlib.sha256(settings.encode())
    for each in documents:
        for part in (each.id, each.title, each.text, each.licence, each.user or ""):
            encoded = part.encode(errors="surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
