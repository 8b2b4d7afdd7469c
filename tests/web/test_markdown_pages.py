"""Guidelines are rendered, and no guideline can bring a tag, a script, a picture or a strange link."""

import re

import pytest
from fastapi import FastAPI

from alignloop.labeling.database import LabelingDatabase
from alignloop.web.markdown_pages import markdown_html
from tests.web.conftest import SignedInClient, publish


def test_headings_go_under_the_pages_own_and_lists_and_tables_are_such() -> None:
    html = markdown_html("# One\n\n## Two\n\n- a\n- **b**\n\n| x | y |\n|---|--:|\n| 1 | 2 |\n")
    for part in (
        "<h2>One</h2>",
        "<h3>Two</h3>",
        "<li>a</li>",
        "<strong>b</strong>",
        '<td class="right">2</td>',
    ):
        assert part in html
    assert "style=" not in html  # the pages' policy refuses inline style


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <b onclick=alert(1)>b</b>",
        "<img src=x onerror=alert(1)>",
        "![picture](https://example.org/x.png)",
        "[link](javascript:alert(1))",
        "[link](JaVaScRiPt:alert(1))",
        "[link](data:text/html,x)",
        "[link](file:///etc/passwd)",
        "[link](/admin/audit)",
        "[link]( //example.org)",
        "<javascript:alert(1)>",
        "[ref]\n\n[ref]: vbscript:x",
        "<style>*{}</style>\n\n<!-- hidden -->",
        '<https://example.org/"onmouseover="x>',
    ],
)
def test_whatever_is_written_stays_text_or_a_web_link(text: str) -> None:
    html = markdown_html(text)
    tags = re.findall(r"<\s*/?\s*([a-zA-Z!]+)([^>]*)>", html)
    assert {name for name, _ in tags} <= {"p", "a", "pre", "code", "h2", "ul", "li"}
    for _, attributes in tags:
        for name, value in re.findall(r'([\w-]+)="([^"]*)"', attributes):
            assert name in ("href", "target", "rel")
            assert name != "href" or re.match(r"https?://", value)


def test_a_web_link_opens_in_another_tab_and_control_characters_are_visible() -> None:
    html = markdown_html("[paper](https://arxiv.org/abs/2203.02155) \x1b[31m")
    assert 'href="https://arxiv.org/abs/2203.02155" target="_blank" rel="noopener noreferrer"' in html
    assert "␛" in html


def test_both_places_of_the_guidelines_are_rendered(app: FastAPI, database: LabelingDatabase) -> None:
    publish(database, 1)
    ada = SignedInClient(app, database, "ada")
    for page in (ada.get("/guidelines").text, ada.get(f"/item/{ada.work()}").text):
        assert "<h3>Ranking</h3>" in page
        assert "## Ranking" not in page
