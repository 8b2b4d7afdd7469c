"""National ids: a pattern, python-stdnum's check digits, and a keyword where both are weak."""

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import NamedTuple

NEAR = 40  # characters before a number that are searched for a keyword


class Identity(NamedTuple):
    """One kind of id: its pattern, the module of python-stdnum that checks it, and keywords before it.

    Without a module, or without keywords, the pattern suffices.
    """

    pattern: str
    module: str | None = None
    keywords: str | None = None


IDENTITIES = (
    Identity(r"\d{3}-\d{2}-\d{4}", "us.ssn"),
    Identity(r"\d{3}[ -]?\d{2}[ -]?\d{4}", "us.ssn", r"SSN|social security"),
    Identity(r"9\d{2}-\d{2}-\d{4}", "us.itin"),
    Identity(r"\d{3}[ -]?\d{3}[ -]?\d{3}", "ca.sin", r"\bSIN\b|social insurance|assurance sociale"),
    Identity(
        r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]"
    ),  # no check digits: HMRC, NIM39110
    Identity(r"\d{3}[ -]?\d{3}[ -]?\d{4}", "gb.nhs", r"NHS"),
    Identity(r"\d{2} \d{3} \d{3} \d{3}", "de.idnr"),
    Identity(r"\d{11}", "de.idnr", r"Steuer|Identifikationsnummer|IdNr|tax id"),
    Identity(r"[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", "fr.nir"),
    Identity(r"\d{8}[ -]?[A-Z]", "es.dni"),
    Identity(r"[XYZ][ -]?\d{7}[ -]?[A-Z]", "es.nie"),
    Identity(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", "it.codicefiscale"),
    Identity(r"\d{9}|\d{4}\.\d{2}\.\d{3}", "nl.bsn", r"BSN|burgerservice|sofi"),
    Identity(r"\d{9}|\d{3} \d{3} \d{3}", "pt.nif", r"NIF|contribuinte"),
    Identity(r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", "be.nn"),
    Identity(r"756\.\d{4}\.\d{4}\.\d{2}", "ch.ssn"),
    Identity(r"\d{11}", "pl.pesel", r"PESEL"),
    Identity(r"(?:\d{2})?\d{6}[-+]\d{4}", "se.personnummer"),
    Identity(r"\d{6}-?\d{4}", "dk.cpr", r"CPR"),
    Identity(r"\d{6} ?\d{5}", "no.fodselsnummer"),
    Identity(r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Z]", "fi.hetu"),
    Identity(r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf"),
    Identity(r"\d{11}", "br.cpf", r"CPF"),
    Identity(r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z\d]\d", "mx.curp"),
    Identity(r"\d{17}[\dX]", "cn.ric"),
    Identity(r"[2-9]\d{3} \d{4} \d{4}", "in_.aadhaar"),
    Identity(r"[2-9]\d{11}", "in_.aadhaar", r"Aadhaar|आधार"),
    Identity(r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", "in_.pan"),
    Identity(r"\d{4}[ -]?\d{4}[ -]?\d{4}", "jp.in_", r"マイナンバー|個人番号|My Number"),
    Identity(r"\d{6}-[1-8]\d{6}", "kr.rrn"),
    Identity(r"\d{3} ?\d{3} ?\d{2,3}", "au.tfn", r"TFN|tax file"),
    Identity(r"[1-9]\d{10}", "tr.tckimlik", r"kimlik|T\.?C\."),
)
PATTERNS = [
    re.compile(rf"(?<![A-Za-z0-9.+-])(?<!\d )(?:{each.pattern})(?![A-Za-z0-9]|[ .-]\d|-[A-Za-z])", re.ASCII)
    for each in IDENTITIES
]
KEYWORDS = [re.compile(each.keywords, re.IGNORECASE) if each.keywords else None for each in IDENTITIES]
LIKELY = re.compile(r"\d{4}[A-Z\d]|\d{2}[ .-]?\d{2,}[ .-]?[A-Z\d]|[A-Z]\d{2}[A-Z]", re.ASCII)


def find(text: str) -> Iterator[tuple[int, int]]:
    """The spans of national identity, tax and social security numbers."""
    if not LIKELY.search(text):
        return
    for identity, pattern, keywords in zip(IDENTITIES, PATTERNS, KEYWORDS, strict=True):
        for match in pattern.finditer(text):
            named = keywords is None or keywords.search(text, max(0, match.start() - NEAR), match.start())
            if named and (identity.module is None or _check(identity.module)(match[0].replace(" ", ""))):
                yield match.span()


def _check(module: str) -> Callable[[str], bool]:
    return import_module(f"stdnum.{module}").is_valid
