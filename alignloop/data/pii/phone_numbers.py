"""Phone numbers, checked by Google's libphonenumber: international ones, and national ones of REGIONS.

A number without a country code must show that it is a phone number: by a leading 0, brackets, the
American grouping, or a keyword before it.
"""

import re
from collections.abc import Iterator
from functools import partial

import phonenumbers

from alignloop.data.pii.patterns import valid_prefix

REGIONS = ("GB", "DE", "FR", "ES", "IT", "NL", "CH", "AT", "BR", "CN", "JP", "IN", "AU", "KR")
NUMBER = re.compile(
    r"(?<![A-Za-z0-9$€£¥#.,/+-])(?:\+|00)?\(?[0-9](?:[ \u00a0./()-]{0,2}[0-9]){6,16}"
    r"(?: ?(?:ext\.?|x) ?[0-9]{1,5})?"
    r"(?![A-Za-z0-9€$£%]|[.,:-][0-9A-Za-z])",
    re.IGNORECASE,
)
AMERICAN = re.compile(
    r"(?:\+?1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"
    r"(?: ?(?:ext\.?|x) ?[0-9]{1,5})?"
)
CHINESE = re.compile(r"1[3-9][0-9]{9}|1[3-9][0-9][ -][0-9]{4}[ -][0-9]{4}")
DATE = re.compile(
    r"(?:[0-9]{1,2}([./-])[0-9]{1,2}\1(?:[0-9]{4}|[0-9]{2}(?![./-]?[0-9]))|[0-9]{4}([./-])[0-9]{1,2}\2[0-9]{1,2})(?![0-9])"
)
KEYWORDS = re.compile(
    r"\b(?:tel|phone|call|ring|mobile|cell|fax|whatsapp|text me|number is|ruf|handy|mobil|anruf|telefon"
    r"|erreich|appel|portable|joindre|num[ée]ro|m[óo]vil|ll[áa]m|tel[ée]f|cellulare|chiam|numero|celular|ligue|ligar"
    r"|fone|bel|bereik)|电话|手机|致电|拨打|號碼|号码|電話|携帯|फ़ोन|फोन|मोबाइल|전화",
    re.IGNORECASE,
)
NEAR = 30  # characters before a number that are searched for a keyword


def find(text: str) -> Iterator[tuple[int, int]]:
    """The spans of phone numbers."""
    for match in NUMBER.finditer(text):
        named = bool(KEYWORDS.search(text, max(0, match.start() - NEAR), match.start()))
        if not DATE.match(match[0]) and (end := valid_prefix(match[0], partial(_is_number, named=named))):
            yield match.start(), match.start() + end


def _is_number(text: str, named: bool) -> bool:
    digits = sum(character.isdigit() for character in text)
    if text.startswith(("+", "00")):
        return 8 <= digits <= 17 and _possible("+" + text.lstrip("+0"))
    if AMERICAN.fullmatch(text):
        return named or _valid(text, ("US",))
    shown = (
        named
        or bool(CHINESE.fullmatch(text))
        or (text.startswith(("0", "(")) and not text.isdigit() and digits >= 9)
    )
    if not shown or digits < 8 or re.fullmatch(r"[0-9]+[.][0-9]+", text):
        return False
    return _valid(text, (*REGIONS, "US") if named else REGIONS)


def _possible(text: str) -> bool:
    """Whether an international number has an existing country code and a length that is used there."""
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(text))
    except phonenumbers.NumberParseException:
        return False


def _valid(text: str, regions: tuple[str, ...]) -> bool:
    for region in regions:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(text, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False
