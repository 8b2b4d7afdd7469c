"""E-mail addresses, IBANs, payment cards and IP addresses: a form, and a check that it is one."""

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from stdnum import iban, luhn

Spans = Iterator[tuple[int, int]]
SIGN = r"(?:[^\W\u2e80-\uffff]|[.+%-])"  # of a name: no sign of a script without spaces, for it is of the word before
EMAIL = re.compile(rf"(?<!{SIGN}){SIGN}+@[\w-]+(?:\.[\w-]+)*\.[a-zA-Z]{{2,}}")
IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)
CARD = re.compile(r"(?<![A-Za-z0-9.-])[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}(?![A-Za-z0-9-])")
IPV4 = re.compile(r"(?<![A-Za-z0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\.?[A-Za-z0-9])")
VERSION = re.compile(r"(?:version|release|\bv|\bver\.) ?$", re.IGNORECASE)  # four numbers may be a program's
IPV6 = re.compile(
    r"(?<![A-Za-z0-9:.])(?=[0-9a-fA-F:]*[0-9])[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?![A-Za-z0-9:]|\.[0-9])"
)


def emails(text: str) -> Spans:
    """E-mail addresses."""
    return (match.span() for match in EMAIL.finditer(text)) if "@" in text else iter(())


def ibans(text: str) -> Spans:
    """International bank account numbers, of a known country's form and with right check digits (ISO 13616)."""
    return _checked(IBAN, text, lambda number: iban.is_valid(number, check_country=False))


def cards(text: str) -> Spans:
    """Numbers of 13 to 19 digits with a right Luhn digit (ISO/IEC 7812-1)."""
    return _checked(CARD, text, is_card)


def is_card(text: str) -> bool:
    """Whether the digits in `text` are a payment card's."""
    digits = re.sub(r"\D", "", text)
    return 13 <= len(digits) <= 19 and luhn.is_valid(digits)


def addresses(text: str) -> Spans:
    """IP addresses, of both versions, but those of one's own machine."""
    for form in (IPV4, IPV6):
        for match in form.finditer(text):
            try:
                address = ip_address(match[0])
            except ValueError:
                continue
            own = address.is_loopback or address.is_unspecified or match[0].startswith("0.")
            if not own and not VERSION.search(text[max(0, match.start() - 12) : match.start()]):
                yield match.span()


def _checked(form: re.Pattern[str], text: str, holds: Callable[[str], bool]) -> Spans:
    for match in form.finditer(text):
        if end := extent(match[0], holds):
            yield match.start(), match.start() + end


def extent(text: str, holds: Callable[[str], bool]) -> int:
    """How much of a text that looks like some number is one: all, or up to a separator (a card's number, and a year after it), or none."""
    ends = [len(text), *(match.start() for match in reversed(list(re.finditer(r"[ -]", text))))]
    return next((end for end in ends if holds(text[:end])), 0)
