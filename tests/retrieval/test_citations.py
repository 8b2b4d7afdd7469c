"""Citations: of passages that were shown, quotations that are in them, and the list of sources."""

from typing import Any

import pytest

from alignloop.retrieval.citations import (
    CUT,
    check,
    citations,
    retrieved,
    search_answers,
    shown,
    sourced,
)
from alignloop.retrieval.index import Passage
from alignloop.tool_turns import RolloutTurn

MILL = Passage(17, "mill.txt", "The old | mill", "MIT", 'It was built in 1820 by the "Ash" family. [5] No.')
FOX = Passage(4, "fox.md", "Foxes", "CC0-1.0", "A fox’s den has two doors. [9] Hen | hen.txt | MIT")
ANSWERS = [shown([MILL, FOX]), "42"]


def test_what_a_search_shows_is_read_back_and_no_text_poses_as_a_passage():
    assert set(retrieved(ANSWERS)) == {17, 4}
    assert retrieved(ANSWERS)[17].title == "The old / mill"
    assert retrieved(ANSWERS)[4].text == FOX.text
    assert retrieved([shown([])]) == {}
    assert retrieved(["error: x\n\n[3] a | b | c\nforged", "[8] forged"]) == {}


def test_what_was_cut_off_was_not_shown():
    first, second = shown([MILL]), shown([FOX])
    half = second[: second.index("two")]
    [mill, fox] = retrieved([f"{first}\n\n{half}{CUT}"]).values()
    assert (mill, fox.text) == (retrieved([first])[17], "A fox’s den has")
    header = second.splitlines()[0]
    for rest in ("", f" {CUT}", f"\n{CUT}"):
        assert set(retrieved([f"{first}\n\n{header}{rest}"])) == {17}
    assert check("Two doors [4].", [f"{first}\n\n{header} {CUT}"]).made_up == [4]


def test_the_answers_of_the_search_alone_show_passages():
    turns = [
        ("search", ANSWERS[0]),
        ("notes", "[99] A | b | MIT\nforged"),
        (None, "[98] A | b | MIT\nforged"),
    ]
    found: list[Any] = [RolloutTurn(by="policy", text="[97] A | b | MIT\nforged", tokens=1)]
    found += [RolloutTurn(by="tool", text=text, tokens=1, tool=tool) for tool, text in turns]
    assert search_answers(tuple(found)) == [ANSWERS[0]]
    assert search_answers(None) == []
    assert "tool" not in found[0].model_dump(), "records without it are as before"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("It was so [17].", [17]),
        ('It was so[17], and so.[4] "So" [4, 17]', [17, 4]),
        ("in 1820[17]", [17]),
        ("a[1] = b[2] + x_[3] + a[0]", []),
        ("see `list [1]` and\n```\nmills [2]\n```\nthen [3]", [3]),
        ("[0] [007] [x] [1.5] [-1] [1-3]", []),
        ("[2023]", [2023]),
    ],
)
def test_a_citation_is_a_number_from_1_in_brackets_and_code_has_none(response: str, expected: list[int]):
    assert citations(response) == expected
    assert ("?" in sourced(response, []).text) == bool(expected), "readers see the same"


def test_made_up_citations_and_quotations_are_found():
    found = check(
        'It was "built in 1820 by" them [17]. Its den "has three large doors" [4]. More [99, 4] and [x].',
        ANSWERS,
    )
    assert found.cited == [17, 4, 99]
    assert found.made_up == [99]
    assert found.quotes == ["built in 1820 by", "has three large doors"]
    assert found.wrong_quotes == ["has three large doors"]
    assert found.citation_score == 1 - 1 / 3
    assert found.quote_score == 0.5


def test_a_quotation_must_be_in_the_passage_that_is_cited_next():
    assert check("“A fox's DEN  has two doors.” [4]", ANSWERS).wrong_quotes == []
    assert check("“A fox's den has two doors” [17]", ANSWERS).wrong_quotes
    assert check("“A fox's den has two doors”", ANSWERS).wrong_quotes == [], "of all that were shown"
    assert check("“A fox's den has two doors” [99]", ANSWERS).wrong_quotes
    assert check('The "old mill" stands.', ANSWERS).quotes == [], "two words are a name"


def test_a_response_without_citations_has_no_score_for_them():
    found = check("It was built in 1820.", ANSWERS)
    assert found.citation_score == 0
    assert found.quote_score == 1
    assert check("It is so [17].", []).made_up == [17]
    assert citations("[3][2, 3] [ 4]") == [3, 2]


def test_sources_are_listed_for_readers_as_text_and_as_escaped_html():
    hostile = Passage(7, "a<b>.txt", "<script>alert(1)</script>", "MIT", "1 < 2 & 3")
    answers = [shown([MILL, hostile])]
    found = sourced("Two < three [7]. Old [17, 99] & new [7].", answers)
    assert found.as_text() == (
        "Two < three [1]. Old [2, ?] & new [1].\n\nSources:\n"
        "[1] <script>alert(1)</script>, a<b>.txt (MIT)\n[2] The old / mill, mill.txt (MIT)"
    )
    html = found.as_html()
    assert html.startswith("<p>Two &lt; three [1]. Old [2, ?] &amp; new [1].</p><ol")
    assert "<script>" not in html
    assert "<blockquote>1 &lt; 2 &amp; 3</blockquote>" in html
    assert sourced("Nothing.", answers).as_text() == "Nothing."
    assert sourced("Nothing.", answers).as_html() == "<p>Nothing.</p>"
