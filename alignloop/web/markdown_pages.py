"""Markdown of guidelines and responses as HTML: HTML in it is shown as text, links lead to http(s) only."""

import re
from collections.abc import Sequence
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from alignloop.markdown import visible

_WEB = re.compile(r"https?://", re.IGNORECASE)
_ALIGNED = re.compile(r"text-align:(left|center|right)")


@lru_cache(maxsize=8)
def guidelines_html(text: str) -> Markup:
    """The guidelines as HTML."""
    return markdown_html(text)


def markdown_html(text: str, has_line_breaks: bool = False) -> Markup:
    """The text as HTML whose headings go under the page's own, the first level as h2.

    With `has_line_breaks` the end of a line is one on the page too.
    """
    parser = MarkdownIt("commonmark", {"html": False, "breaks": has_line_breaks})
    parser.enable("table").disable("image")
    parser.validateLink = lambda url: _WEB.match(url) is not None
    tokens = parser.parse(visible(text))
    _adapt(tokens)
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def _adapt(tokens: Sequence[Token]) -> None:
    """Lower the headings, open links in another tab, and align cells by class: pages have no inline style."""
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
        elif token.type == "link_open":
            token.attrs |= {"target": "_blank", "rel": "noopener noreferrer"}
        if aligned := _ALIGNED.fullmatch(str(token.attrs.pop("style", ""))):
            token.attrs["class"] = aligned[1]
        _adapt(token.children or ())
