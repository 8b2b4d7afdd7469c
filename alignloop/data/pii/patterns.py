"""E-mail addresses, IBANs, payment cards and IP addresses: a pattern, and a check of each match."""

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from stdnum import iban, luhn

Spans = Iterator[tuple[int, int]]
# a character of a mailbox name: none of a script without spaces, where it would belong to the word before
SIGN = r"(?:[^\W\u2e80-\uffff]|[.+%-])"
EMAIL = re.compile(rf"(?<!{SIGN}){SIGN}+@[\w-]+(?:\.[\w-]+)*\.[a-zA-Z]{{2,}}")
IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)
CARD = re.compile(r"(?<![A-Za-z0-9.-])[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}(?![A-Za-z0-9-])")
IPV4 = re.compile(r"(?<![A-Za-z0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\.?[A-Za-z0-9])")
# four numbers may be the version of a program
VERSION = re.compile(r"(?:version|release|\bv|\bver\.) ?$", re.IGNORECASE)
IPV6 = re.compile(
    r"(?<![A-Za-z0-9:.])(?=[0-9a-fA-F:]*[0-9])[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?![A-Za-z0-9:]|\.[0-9])"
)


def emails(text: str) -> Spans:
    """The spans of e-mail addresses."""
    return (match.span() for match in EMAIL.finditer(text)) if "@" in text else iter(())


def ibans(text: str) -> Spans:
    """The spans of IBANs: of a known country's format, with correct check digits (ISO 13616)."""
    return _checked(IBAN, text, lambda number: iban.is_valid(number, check_country=False))


def cards(text: str) -> Spans:
    """The spans of payment cards: 13 to 19 digits with a correct Luhn digit (ISO/IEC 7812-1)."""
    return _checked(CARD, text, is_card)


def is_card(text: str) -> bool:
    """Whether the digits in `text` are the number of a payment card."""
    digits = re.sub(r"\D", "", text)
    return 13 <= len(digits) <= 19 and luhn.is_valid(digits)


def ip_addresses(text: str) -> Spans:
    """The spans of IP addresses, version 4 and 6, except loopback and unspecified ones."""
    for pattern in (IPV4, IPV6):
        for match in pattern.finditer(text):
            try:
                address = ip_address(match[0])
            except ValueError:
                continue
            local = address.is_loopback or address.is_unspecified or match[0].startswith("0.")
            if not local and not VERSION.search(text[max(0, match.start() - 12) : match.start()]):
                yield match.span()


def _checked(pattern: re.Pattern[str], text: str, is_valid: Callable[[str], bool]) -> Spans:
    for match in pattern.finditer(text):
        if end := valid_prefix(match[0], is_valid):
            yield match.start(), match.start() + end


def valid_prefix(text: str, is_valid: Callable[[str], bool]) -> int:
    """The length of the valid number at the start of a match: all of it, up to a separator, or 0.

    A card number may be followed by a year, for example.
    """
    ends = [len(text), *(match.start() for match in reversed(list(re.finditer(r"[ -]", text))))]
    return next((end for end in ends if is_valid(text[:end])), 0)
