"""The final number of a response is read as GSM8K's answers are written, and compared as a number."""

from decimal import Decimal

import pytest

from alignloop.records import Message, Prompt
from alignloop.scoring.final_number import final_number, number
from alignloop.scoring.verifiable import number_rule


@pytest.mark.parametrize(
    ("response", "value"),
    [
        ("16-3=13", "13"),
        ("He pays 5, so\n#### 1,234", "1234"),
        ("#### $-5.50 each of 3", "-5.50"),
        ("a debt of -5", "-5"),
        ("from 10-20", "20"),
        ("costs $1,234.50.", "1234.50"),
        ("\\boxed{7} of 8", "7"),
        ("a half is .5", "0.5"),
        ("3.", "3"),
        ("x \u22122", "-2"),
    ],
)
def test_the_last_number_counts_and_after_a_mark_the_first(response: str, value: str) -> None:
    assert final_number(response) == Decimal(value)


@pytest.mark.parametrize("response", ["", "none", "12 then\n#### none", "\\boxed{x} 3"])
def test_a_response_may_have_no_final_number(response: str) -> None:
    assert final_number(response) is None


def prompt(answer: str) -> Prompt:
    asked = (Message(role="user", content="How many?"),)
    return Prompt(id="p", messages=asked, user="u", source="s", check={"answer": answer})


def test_numbers_are_compared_exactly_whatever_their_form() -> None:
    right = number_rule(prompt("1,300"))
    assert [right(text) for text in ("#### 1300.00", "$1,300", "1300.0000000000000000001", "no")] == [
        1,
        1,
        0,
        0,
    ]
    assert number("13 apples") is None
    with pytest.raises(ValueError, match=r"check.answer '13 apples' is no number"):
        number_rule(prompt("13 apples"))
