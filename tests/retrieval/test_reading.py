"""Responses for readers in pieces, where they cite, and what readers write back."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignloop.retrieval.citations import shown, sourced
from alignloop.retrieval.index import Passage
from alignloop.retrieval.reading import CitationStream, UnknownSource, cited, written_back

MILL = Passage(17, "mill.txt", "The mill", "MIT", "It was built in 1820.")
FOX = Passage(4, "fox.md", "Foxes", "CC0-1.0", "A den has two doors.")
ANSWERS = [shown([MILL, FOX])]
RESPONSE = "A den [4] of 1820 [17, 99], and [4]. So [8]."
FOR_READERS = "A den [1] of 1820 [2, ?], and [1]. So [?]."


PARTS = ["[", "]", "4", "17", ",", " ", "[4]", "x", "[17, 4", "9", "`", "``", "```", "\n", "a", "_"]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(PARTS), max_size=14))
def test_pieces_are_together_what_the_whole_is_however_they_are_cut(pieces: list[str]) -> None:
    stream = CitationStream(ANSWERS)
    given_out = [stream.add(piece) for piece in pieces] + [stream.finish()]
    assert "".join(given_out) == sourced("".join(pieces), ANSWERS).text


def test_a_citation_is_held_back_until_it_is_whole() -> None:
    stream = CitationStream(ANSWERS)
    assert [stream.add(piece) for piece in ("A den [", "1", "7", "] is", " here [x")] == [
        "A den ",
        "",
        "",
        "[1] is",
        " here [x",
    ]


def test_what_readers_write_back_has_the_numbers_of_passages_again() -> None:
    assert sourced(RESPONSE, ANSWERS).text == FOR_READERS
    assert written_back(FOR_READERS, RESPONSE, ANSWERS) == "A den [4] of 1820 [17], and [4]. So."
    assert written_back("Only [2].", RESPONSE, ANSWERS) == "Only [17]."
    assert written_back("None.", RESPONSE, ANSWERS) == "None."
    assert written_back("`b [9]` [1] and a[7]", RESPONSE, ANSWERS) == "`b [9]` [4] and a[7]"
    with pytest.raises(UnknownSource, match=re.escape("[3] is no source of this response, which has 2.")):
        written_back("[2, 3]", RESPONSE, ANSWERS)
    with pytest.raises(UnknownSource, match="which cites none"):
        written_back("[1]", "No citation.", ANSWERS)


def test_citations_are_found_where_readers_see_them() -> None:
    found = sourced(RESPONSE, ANSWERS)
    places = [(found.text[each.start : each.end], each.place) for each in cited(found.text, found.sources)]
    assert places == [("[1]", 1), ("[1]", 1)]
    both = sourced("Both [17, 4].", ANSWERS)
    assert [(each.start, each.end, each.place) for each in cited(both.text, both.sources)] == [
        (5, 11, 1),
        (5, 11, 2),
    ]
