"""Title and text of pages in HTML and PDF."""

import logging
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

PDF_PAGES = 5000
# a tag that is not one of these separates words: cells, paragraphs, captions, and what is yet to be invented
INLINE = {
    *("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font"),
    *("i", "ins", "kbd", "mark", "nobr", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike"),
    *("strong", "sub", "sup", "time", "tt", "u", "var", "wbr"),
}
SILENT = {"script", "style", "noscript", "template", "svg", "title"}


class Unreadable(Exception):
    """Why a file cannot be read: a word to count by, and a sentence with the remedy."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Page(HTMLParser):
    """The words of a page: no scripts, a new paragraph for each block."""

    def __init__(self) -> None:
        super().__init__()
        self.title, self.words = "", list[str]()
        self._silent = list[str]()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in SILENT:
            self._silent.append(tag)
        elif tag not in INLINE:
            self.words.append("\n\n")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        if tag not in INLINE:  # as <br/>; <svg/> holds nothing
            self.words.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in SILENT and tag in self._silent:
            while self._silent.pop() != tag:
                pass
        elif tag not in INLINE:
            self.words.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)
        elif self._silent == ["title"]:  # not that of a picture within the page
            self.title += data


def html(text: str) -> tuple[str, str]:
    """Title and text of a page."""
    page = _Page()
    page.feed(_closed(text))
    page.close()
    return page.title, "".join(page.words)


def _closed(text: str) -> str:
    """The page without the opening tags that nothing closes, and after which it would be empty."""
    for tag in SILENT - {"script", "style"}:
        last = max((match.end() for match in re.finditer(rf"</{tag}\b", text, re.IGNORECASE)), default=0)
        rest = re.sub(rf"<{tag}\b(?:[^>]*[^/>])?>", " ", text[last:], flags=re.IGNORECASE)
        text = text[:last] + rest
    return text


def pdf(path: Path) -> tuple[str, str]:
    """Title and text of a PDF file. Raises Unreadable."""
    try:
        import pypdf
    except ImportError:
        raise Unreadable(
            "pdf", "needs pypdf; install it (`pip install 'alignloop[pdf]'`), or take it out of the folder"
        ) from None
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # of a broken file, one message of ours is enough
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
