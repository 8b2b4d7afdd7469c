"""Personal data in text: found by form (and by check sum where there is one) and replaced by a placeholder that says what stood there.

E-mail addresses, telephone numbers, payment cards (Luhn), IPv4 addresses but loopback, IBANs (mod 97). Left out, for form does not tell
them from other text: names, street addresses, telephone numbers written as one run of digits.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Kind(NamedTuple):
    """How personal data of a kind looks, and whether a text of that look is some; if not, its beginning may be, up to a separator."""

    form: re.Pattern[str]
    holds: Callable[[str], bool]


def luhn(text: str) -> bool:
    """Whether the 13 to 19 digits in `text` carry a valid Luhn check digit (ISO/IEC 7812-1)."""
    digits = re.sub(r"\D", "", text)
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and sum(number - 9 * (number > 9) for number in doubled) % 10 == 0


def mod97(text: str) -> bool:
    """Whether `text` is an IBAN by its check digits: country and check moved to the end, letters as 10…35, ≡ 1 mod 97 (ISO 13616)."""
    code = text.replace(" ", "")
    return 15 <= len(code) <= 34 and int("".join(str(int(sign, 36)) for sign in code[4:] + code[:4])) % 97 == 1


def _telephone(text: str) -> bool:
    return 9 <= len(re.sub(r"\D", "", text)) <= 15


OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
KINDS: dict[str, Kind] = {  # in this order: what is more certain first
    "EMAIL": Kind(re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}"), lambda text: True),
    "IBAN": Kind(re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), mod97),
    "CARD": Kind(re.compile(r"(?<![\w.-])[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}(?![\w-])"), luhn),
    "IP": Kind(re.compile(rf"(?<![\w.])(?:{OCTET}\.){{3}}{OCTET}(?!\.?\w)"), lambda text: not text.startswith(("0.", "127."))),
    "PHONE": Kind(
        re.compile(
            r"(?<![\w+])\+[0-9]{1,3}(?:[ ./-]?\(?[0-9]{1,4}\)?){2,5}(?!\w)"  # +44 20 7946 0958
            r"|(?<![\w$€£.,/-])(?:1[ .-])?(?:\([0-9]{3}\) ?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}(?![\w-]|[.,][0-9])"  # (415) 555-0123
            r"|(?<![\w$€£.,/-])\(?0[0-9]{1,4}\)?[ /-][0-9]{2,4}(?:[ -]?[0-9]{2,4}){1,3}(?![\w-]|[.,][0-9])"  # 020 7946 0958
        ),
        _telephone,
    ),
}
LIKELY = re.compile(r"@|[0-9][0-9A-Z (). /-]{5,}[0-9]")  # nearly all text has neither: one look, and done


def found(text: str) -> list[str]:
    """The kinds of personal data in `text`, one name per place."""
    if not LIKELY.search(text):
        return []
    return [name for name, kind in KINDS.items() for match in kind.form.finditer(text) if _extent(kind, match[0])]


def redact(text: str) -> tuple[str, Counter[str]]:
    """The text with <EMAIL>, <PHONE>, … in place of personal data, and how often each was put; nothing is found in the result."""
    counts: Counter[str] = Counter()
    while found(text):
        for name, kind in KINDS.items():
            pieces = list(_pieces(name, kind, text))
            counts[name] += len(pieces) // 2
            text = "".join(pieces)
    return text, +counts


def _pieces(name: str, kind: Kind, text: str) -> Iterator[str]:
    """The text cut at each place of the kind, with a placeholder between each two pieces."""
    end = 0
    for match in kind.form.finditer(text):
        if extent := _extent(kind, match[0]):
            yield text[end : match.start()]
            yield f"<{name}>"
            end = match.start() + extent
    yield text[end:]


def _extent(kind: Kind, text: str) -> int:
    """How much of a text that looks like the kind is some: all, or up to a separator (a card number and a year after it), or none."""
    ends = [len(text), *(match.start() for match in reversed(list(re.finditer(r"[ -]", text))))]
    return next((end for end in ends if kind.holds(text[:end])), 0)
