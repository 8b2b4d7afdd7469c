"""The calculator: exact numbers, and bounded whatever it is asked."""

import pytest

from alignloop.tools.calculator import calculator
from alignloop.tools.definition import ToolProblem


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("(48 / 2 + 48) * 1.5", "108"),
        ("0.1 + 0.2", "0.3"),
        ("1/3", "0.333333333333"),
        ("-200/3", "-66.66666666667"),
        ("10**40/3", "3333333333333333333333333333333333333333.33333333333"),
        ("2^10 − 4 × 6 ÷ 3", "1016"),
        ("100 * (1 + 5/100)**3", "115.7625"),
        ("7 // 2 + 7 % 4 - abs(-2)", "4"),
        ("round(2.5) + round(1/3, 2)", "3.33"),
        ("round(-2.5)", "-3"),
        ("sqrt(16) + 2**-1", "4.5"),
        ("sqrt(2)", "1.41421356237"),
        ("sqrt(2e-70)", "0.0000000000000000000000000000000000141421356237"),
        ("sqrt(9e-800) * 1e400", "3"),
        ("min(3, 1, 2) + max(1, 5) + floor(2.9) + ceil(2.1)", "11"),
        ("1e-3", "0.001"),
        ("1/7*7", "1"),
    ],
)
def test_a_value_is_exact_or_has_twelve_digits(expression: str, value: str) -> None:
    assert calculator(expression) == value


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("1 / 0", "divides by zero"),
        ("0**-1", "divides by zero"),
        ("9**9**9", "too large"),
        ("1e999999999", "too large"),
        ("10**4000 * 10**4000", "too large"),
        ("2**0.3", "exponent"),
        ("sqrt(-1)", "negative"),
        ("__import__('os').getcwd()", "no arithmetic"),
        ("(lambda: 1)()", "no arithmetic"),
        ("x + 1", "no arithmetic"),
        ("True + 1", "no arithmetic"),
        ("1,000 + 2", "no arithmetic"),
        ("two plus two", "no arithmetic"),
        ("((((", "no arithmetic"),
        ("", "no arithmetic"),
        ("sqrt(1, 2)", "number of arguments"),
        ("1+" * 300 + "1", "at most 500"),
        ("-" * 499 + "1", None),
        ("(" * 249 + "1" + ")" * 249, "no arithmetic"),
    ],
)
def test_what_is_no_bounded_arithmetic_is_refused_in_words(expression: str, problem: str | None) -> None:
    if problem is None:
        assert calculator(expression) == "-1"
        return
    with pytest.raises(ToolProblem, match=problem):
        calculator(expression)
