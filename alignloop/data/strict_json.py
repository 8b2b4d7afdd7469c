"""Strict parsing of one line of JSON: duplicate keys, NaN and numbers out of range are errors.

Python's own parser would accept them and silently turn a faulty line into a wrong record.
"""

import json
import math
from contextlib import suppress
from typing import Any, NoReturn

import orjson

LONGEST_NUMBER = 4000  # digits; Python reads no number of 4,300 and more
FETCH_AGAIN = "fetch the file again (`dvc pull`), or make it again with `dvc repro`"


class InvalidJson(Exception):
    """Text that is not a JSON value, or not one that is accepted.

    The message is for people; `reason` quotes no content, so that equal faults can be counted together.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse_json(text: str) -> Any:
    """The JSON value of a line.

    Raises InvalidJson for broken JSON, a duplicate key, NaN or a number out of range.
    """
    text = text.rstrip("\r\n")
    if (value := _compact(text)) is not None:
        return value
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        message = f"broken JSON at column {error.colno}: {error.msg}; correct the line or {FETCH_AGAIN}"
        raise InvalidJson(message, f"broken JSON: {error.msg}") from None
    except RecursionError:
        raise InvalidJson("JSON nested too deeply; correct the line", "JSON nested too deeply") from None


def _compact(text: str) -> Any:
    """The value of a line that survives a round trip unchanged, as our own lines do; else None.

    A line that survives has no duplicate key, and orjson parses it much faster than Python's parser.
    """
    if text.startswith('": ', text.find('":')):
        return None
    with suppress(ValueError, TypeError):
        value = orjson.loads(text)
        return value if orjson.dumps(value) == text.encode() else None
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        seen: set[str] = set()
        duplicate = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise InvalidJson(
            f"{duplicate}: the key occurs twice in one object; keep one", "a key stands twice in one object"
        )
    return fields


def _no_constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not JSON; write a number or null", f"{name} is not JSON")


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise InvalidJson(
            f"a number of {len(digits):,} digits; write a shorter one", "a number of thousands of digits"
        )
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise InvalidJson(
            f"{digits[:20]} is too large for a number; write a smaller one", "a number that is too large"
        )
    return number


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_whole, parse_float=_finite
)
