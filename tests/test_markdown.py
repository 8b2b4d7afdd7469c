"""Texts of the data stay text in reports: no link, picture, tag or control character of theirs works."""

from collections.abc import Callable
from html.parser import HTMLParser

import markdown
import pytest

from alignloop.markdown import one_line, plain, table, visible

HOSTILE = (
    "![p](http://127.0.0.1:6230/pixel.png)",
    "[click](javascript:alert(1))",
    "[ref]: http://evil.example",
    "![p][ref]",
    "<img src=http://evil.example/x onerror=alert(1)>",
    "<http://evil.example>",
    "a | b\n| c |",
    "`code`",
    "\\![p](http://127.0.0.1:6230/pixel.png)",
    "\x1b]0;title\x07\x1b[2J\0\x9b31m",
)


class _Found(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def tags_of(text: str) -> list[str]:
    """The tags that a renderer of Markdown makes."""
    found = _Found()
    found.feed(markdown.markdown(text, extensions=["tables"]))
    return found.tags


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("write", [plain, one_line])
def test_a_text_of_the_data_makes_no_markup_in_a_report(text: str, write: Callable[[str], str]) -> None:
    assert tags_of(f"**name** {write(text)}") == ["p", "strong"]
    assert not [sign for sign in write(text) if ord(sign) < 32 or 127 <= ord(sign) < 160]
    cells = [
        tag
        for tag in tags_of(table([["name", "n"], [write(text), "1"]]))
        if tag in ("td", "img", "a", "code")
    ]
    assert cells == ["td", "td"]


def test_names_of_our_own_are_written_as_they_are() -> None:
    for name in ("false_premise", "labeler-01", "wins against SFT", "max (made up) #1 *"):
        assert plain(name) == name


def test_a_terminal_obeys_nothing_of_a_record() -> None:
    assert visible("a\tb\n\x1b[2J\0\x07\x7f\x9b") == "a\tb\n␛[2J␀␇␡\N{REPLACEMENT CHARACTER}"
