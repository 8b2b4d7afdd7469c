"""Whether a response ends with the right number, as GSM8K is graded (arXiv 2110.14168)."""

import re
from decimal import Decimal

NUMBER = re.compile(
    r"(?:(?<![\w)\]])[-\u2212])?\$?"  # a sign, but no minus between two terms
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
)
MARK = "####"
BOXED = re.compile(r"\\boxed\{([^{}]*)\}")


def final_number(response: str) -> Decimal | None:
    """The number that a response ends with, None if there is none.

    That is the first one after its last `####`, else the one in its last `\\boxed{}`, else its last number.
    A sign, `$`, and commas between thousands are read.
    """
    if MARK in response:
        return next(iter(_numbers(response.rpartition(MARK)[2])), None)
    boxed = BOXED.findall(response)
    found = _numbers(boxed[-1]) if boxed else _numbers(response)
    return found[-1] if found else None


def number(text: str) -> Decimal | None:
    """The number that a text is, None if it is anything else."""
    match = NUMBER.fullmatch(text.strip())
    return _value(match[0]) if match else None


def _numbers(text: str) -> list[Decimal]:
    return [_value(match[0]) for match in NUMBER.finditer(text)]


def _value(written: str) -> Decimal:
    return Decimal(written.replace("\u2212", "-").replace("$", "").replace(",", ""))
