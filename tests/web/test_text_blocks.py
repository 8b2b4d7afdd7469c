"""Texts are shown as they are: code and tables as such, and no character is left out."""

import time
from itertools import product

import pytest
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


@pytest.mark.parametrize(
    "text",
    ["a|b\n{}x|", "a|b\n|{}x", "a|b\n{}|-", "```{}`", "~~~{}`", "{}"],
)
def test_a_mebibyte_of_spaces_takes_less_than_a_second(text: str) -> None:
    _is_linear(text.format(" " * (1 << 20)))


def test_no_long_run_makes_a_text_slow_to_show() -> None:
    runs = (
        " ",
        "\t",
        "-",
        ":",
        "|",
        "`",
        "~",
        "- ",
        "|-",
        "-|",
        ":-:|",
        "\n",
        "|\n",
        "~\n",
        "```\n",
        "~~~\n",
    )
    for start, run, end in product(("", "a|b\n", "~~~", "```"), runs, ("", "x", "`", "|x", "\n|-|")):
        _is_linear(start + run * 20_000 + end)


def _is_linear(text: str) -> None:
    """Linear work takes hundredths of a second, quadratic work on so long a text tens of seconds."""
    began = time.thread_time()
    blocks(text)
    assert time.thread_time() - began < 5, text[:20]


@given(st.text(alphabet=st.sampled_from("ab|`~-: \nא")))
def test_no_word_is_lost(text: str) -> None:
    found = "".join(block.text + "".join("".join(row) for row in block.rows) for block in blocks(text))
    for letter in "abא":
        assert found.count(letter) == text.count(letter)
