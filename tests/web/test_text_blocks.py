"""Texts are shown as they are: code and tables as such, and no character is left out."""

from hypothesis import given
from hypothesis import strategies as st

from alignloop.web.text_blocks import Block, blocks


def test_code_and_tables_are_separated_from_prose() -> None:
    text = "Look:\n```python\nif x:\n    y()\n```\n| a | b |\n|---|:-:|\n| 1 | |\nthe end"
    assert blocks(text) == [
        Block("prose", "Look:"),
        Block("code", "if x:\n    y()", (("python",),)),
        Block("table", rows=(("a", "b"), ("1", ""))),
        Block("prose", "the end"),
    ]


def test_text_that_only_looks_like_code_or_a_table_stays_prose() -> None:
    for text in ("a | b", "| a |\nno rule", "`code`", "a ``` b", "---", "1 - 2 | 3"):
        assert [block.kind for block in blocks(text)] == ["prose"]
    assert blocks("```\nnever closed") == [Block("code", "never closed", (("",),))]
    assert blocks(" \n") == []


def test_control_characters_become_visible() -> None:
    assert blocks("a\x00b\x1bc\td") == [Block("prose", "a␀b␛c\td")]


@given(st.text(alphabet=st.sampled_from("ab|`~-: \nא")))
def test_no_word_is_lost(text: str) -> None:
    found = "".join(block.text + "".join("".join(row) for row in block.rows) for block in blocks(text))
    for letter in "abא":
        assert found.count(letter) == text.count(letter)
