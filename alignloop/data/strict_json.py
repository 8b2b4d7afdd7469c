"""The JSON value that a line holds: strictly, for a key that stands twice or a number that is none makes a wrong record of a right one."""

import json
import math
from contextlib import suppress
from typing import Any, NoReturn

import orjson

LONGEST_NUMBER = 4000  # digits; Python reads no number of 4,300 and more
FETCH_AGAIN = "fetch the file again (`dvc pull`), or make it again with `dvc repro`"


class Broken(Exception):
    """Text that is no JSON value, or none that we take: in words for people, and as a `reason` to count, which quotes nothing."""

    def __init__(self, words: str, reason: str) -> None:
        super().__init__(words)
        self.reason = reason


def value_of(text: str) -> Any:
    """The JSON value that a line holds. Raises Broken where it holds none, a key twice, or a number that is none."""
    text = text.rstrip("\r\n")
    if (value := _compact(text)) is not None:
        return value
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        told = f"broken JSON at column {error.colno}: {error.msg}; correct the line or {FETCH_AGAIN}"
        raise Broken(told, f"broken JSON: {error.msg}") from None
    except RecursionError:
        raise Broken("JSON nested too deeply; correct the line", "JSON nested too deeply") from None


def _compact(text: str) -> Any:
    """The value, if it is written without spaces and comes out as it went in, as our own lines do: then no key stands twice in it."""
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
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise Broken(
            f"{twice}: the key stands twice in one object; keep one", "a key stands twice in one object"
        )
    return fields


def _no_constant(name: str) -> NoReturn:
    raise Broken(f"{name} is not JSON; write a number or null", f"{name} is not JSON")


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise Broken(
            f"a number of {len(digits):,} digits; write a shorter one", "a number of thousands of digits"
        )
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise Broken(
            f"{digits[:20]} is too large for a number; write a smaller one", "a number that is too large"
        )
    return number


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_whole, parse_float=_finite
)
