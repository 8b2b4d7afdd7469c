"""Documents of a folder: text, Markdown, HTML, PDF and JSON Lines. What cannot be read is named, and why."""

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from alignloop.data.encodings import TO_UTF8, BrokenText, as_utf8
from alignloop.data.forgotten import ForgottenUsers

LARGEST = 50 * 2**20  # bytes of a file that is read whole, and of a line of JSON
PDF_PAGES = 5000
BLOCKS = {"p", "div", "li", "tr", "br", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "table", "section"}
SILENT = {"script", "style", "noscript", "template", "svg", "title"}
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


class Unreadable(Exception):
    """Why a file cannot be read: a word to count by, and a sentence with the remedy."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_folder(folder: Path, licence: str, forgotten: ForgottenUsers | None) -> Iterator[Document | Refused]:
    """All documents below a folder in the order of their names; hidden files are passed over.

    `licence` is that of all that state none. Documents of forgotten users are refused.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or any(part.startswith(".") for part in name.split("/")):
            continue
        try:
            if path.suffix.lower() == ".jsonl":
                yield from _lines(path, name, licence, forgotten)
            else:
                yield _whole(path, name, licence)
        except Unreadable as error:
            yield Refused(name, error.reason, str(error))
        except OSError as error:
            yield Refused(name, "unreadable", f"cannot be read ({error.strerror}); make it readable")


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


class _Page(HTMLParser):
    """The words of a page: no scripts, a new line for each block."""

    def __init__(self) -> None:
        super().__init__()
        self.title, self.words = "", list[str]()
        self._silent = list[str]()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in SILENT:
            self._silent.append(tag)
        elif tag in BLOCKS:
            self.words.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in SILENT and tag in self._silent:
            while self._silent.pop() != tag:
                pass
        elif tag in BLOCKS:
            self.words.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)
        elif self._silent[-1] == "title":
            self.title += data


def _html(path: Path) -> tuple[str, str]:
    page = _Page()
    page.feed(_decoded(path))
    page.close()
    return page.title, "".join(page.words)


def _pdf(path: Path) -> tuple[str, str]:
    try:
        import pypdf
    except ImportError:
        raise Unreadable(
            "pdf", "needs pypdf; install it (`pip install 'alignloop[pdf]'`), or take it out of the folder"
        ) from None
    try:
        reader = pypdf.PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("encrypted", "is encrypted; save it without a password")
        if len(reader.pages) > PDF_PAGES:
            raise Unreadable(
                "huge", f"has {len(reader.pages):,} pages, at most {PDF_PAGES:,} are read; split it"
            )
        title = str((reader.metadata or {}).get("/Title") or "")
        return title, "\n\n".join(page.extract_text() for page in reader.pages)
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # a broken file makes the library fail in any way
        what = type(error).__name__
        if what == "DependencyError":  # of its cryptography
            raise Unreadable("encrypted", "is encrypted; save it without a password") from None
        raise Unreadable("broken", f"is no whole PDF ({what}); save or download it again") from None


READERS: dict[str, Callable[[Path], tuple[str, str]]] = {
    ".txt": _plain,
    ".md": _markdown,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
}


def _lines(
    path: Path, name: str, licence: str, forgotten: ForgottenUsers | None
) -> Iterator[Document | Refused]:
    """A document for each line: an object with `text`, and perhaps `id`, `title`, `licence` and `user`."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LARGEST + 1):
            number += 1
            place = f"{name}:{number}"
            if len(line) > LARGEST:
                raise Unreadable(
                    "huge", f"line {number} has more than {LARGEST // 2**20} MiB; split it, or leave it out"
                )
            if not line.strip():
                continue
            try:
                yield _of_line(line, place, licence, forgotten)
            except Unreadable as error:
                yield Refused(place, error.reason, str(error))


def _of_line(line: bytes, place: str, licence: str, forgotten: ForgottenUsers | None) -> Document:
    try:
        found = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Unreadable("encoding", f"byte {error.start} is not UTF-8; {TO_UTF8}") from None
    except (ValueError, RecursionError):
        raise Unreadable("broken", "is no JSON object; mend or remove the line") from None
    if not isinstance(found, dict) or not isinstance(found.get("text"), str) or not found["text"].strip():
        raise Unreadable("broken", "has no `text`; give each line an object with one, or remove it")
    if wrong := [key for key in found.keys() & FIELDS if not isinstance(found[key], str)]:
        raise Unreadable("broken", f"its `{sorted(wrong)[0]}` is no text; mend it")
    user = found.get("user")
    if forgotten is not None and user in forgotten:
        raise Unreadable("forgotten", "its user is in data/forgotten.txt; remove the line")
    text = found["text"]
    title = " ".join(found.get("title", "").split()) or text.split("\n")[0][:60].strip()
    return Document(found.get("id", place), title, text, found.get("licence", licence), user)


def content_of(documents: list[Document], settings: str) -> str:
    """The hash of all that an index is made of."""
    digest = hashlib.sha256(settings.encode())
    for each in documents:
        for part in (each.id, each.title, each.text, each.licence, each.user or ""):
            encoded = part.encode(errors="surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
