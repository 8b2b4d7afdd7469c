"""Street addresses: the ways in which people of some countries write a street with its number, and the town and unit beside it."""

import re
from collections.abc import Iterator

NAME = r"(?:(?:St|Mt|Dr)\. )?[A-ZÀ-ÖØ-Þ](?:[^\W\d_]|['’-])*"
OF = r"(?:(?:de la|de los|de las|de|du|des|del|della|delle|dei|degli|di|da|do|dos|das|la|le|les|los|las|el|der|van|van de|den|al|e|y)\s|d['’]|l['’]|dell['’])"
NAMES = rf"(?:{OF}{{0,2}}{NAME}(?: {OF}{{0,2}}{NAME}){{0,3}})"
STREET = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Ter|Way|Parkway|Pkwy|Highway|Hwy|Crescent|"
    r"Close|Gardens|Grove|Mews|Row|Circle|Cir|Trail|Alley|Broadway|Hill|Nagar|Marg|Quay)"
)
HAN = r"(?:(?![在到是于址往寄至])[\u4e00-\u9fff])"
FORMS = {
    "english": rf"\d{{1,5}}[A-Za-z]?(?:[-/]\d{{1,4}})? (?:[NSEW]{{1,2}}\.? )?(?:(?:{NAME}|\d{{1,3}}(?:st|nd|rd|th)) ){{1,4}}{STREET}\b(?! to\b)(?:\.(?= \w))?(?: [NSEW]{{1,2}}\b)?"
    r"(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|#)\.? ?#?\w{1,5})?"
    rf"(?:,(?: {NAME}){{1,3}})?(?:,? [A-Z]{{2}} \d{{5}}(?:-\d{{4}})?|,? [A-Z]{{1,2}}\d[A-Z\d]? \d[A-Z]{{2}})?\b",
    "flat": rf"(?:Flat|Apartment|Unit) \w{{1,4}}, \d{{1,4}}[A-Za-z]? (?:{NAME} ){{1,4}}{STREET}\b(?:,(?: {NAME}){{1,3}})?(?:,? [A-Z]{{1,2}}\d[A-Z\d]? \d[A-Z]{{2}})?\b",
    "box": r"P\.? ?O\.? Box \d{1,6}",
    "german": r"(?:[A-ZÄÖÜ][\wäöüß]*(?:[ -][A-ZÄÖÜ][\wäöüß]*){0,2}[ -]?(?:[sS]tra(?:ß|ss)e|[sS]tr\.|[wW]eg|[pP]latz|[aA]llee|[gG]asse|[rR]ing|[dD]amm|[uU]fer|[cC]haussee)"
    r"|(?:Am|An der|An den|Im|In der|Zum|Zur|Unter den|Auf dem|Alter|Alte) [A-ZÄÖÜ][\wäöüß]+) \d{1,4}(?: ?[a-z]|/\d{1,4})?\b(?:, (?:D-|A-|CH-)?\d{4,5} [A-ZÄÖÜ][\wäöüß]+)?",
    "french": rf"\d{{1,4}}(?: ?(?:bis|ter|quater))?,? (?:rue|avenue|av\.|boulevard|bd|place|impasse|allée|chemin|quai|route|cours|square|passage) {NAMES}(?:,? \d{{5}} {NAME})?",
    "spanish": rf"(?:Calle|C/|Avenida|Avda\.?|Av\.|Plaza|Paseo|Camino|Ronda|Travesía|Carrer|calle|avenida|plaza) ?{NAMES},? (?:n\.?º ?|núm\. ?)?\d{{1,4}}(?:, \d{{1,2}}\.?º ?[A-Za-z]?\b)?(?:, \d{{5}} {NAME})?",
    "italian": rf"(?:[Vv]ia|[Vv]iale|[Pp]iazza|[Cc]orso|[Ll]argo|[Vv]icolo|[Ss]trada|[Pp]iazzale) {NAMES},? \d{{1,4}}(?:/[A-Za-z])?\b(?:, \d{{5}} {NAME})?",
    "dutch": rf"[A-Z][a-z]+(?:straat|weg|laan|plein|gracht|kade|dijk|singel|pad) \d{{1,4}}(?: ?[a-z])?\b(?:, \d{{4}} ?[A-Z]{{2}} {NAME})?",
    "portuguese": rf"(?:Rua|Avenida|Av\.|Travessa|Praça|Alameda|Rodovia|Largo|rua|avenida) {NAMES},? (?:n\.?º ?)?\d{{1,5}}(?:, \d{{5}}-\d{{3}}(?: {NAME})?)?",
    "chinese": rf"(?:{HAN}{{2,3}}省)?(?:{HAN}{{2,3}}市)?(?:{HAN}{{1,4}}[区县])?{HAN}{{2,6}}?(?:大街|大道|路|街|巷|胡同)\d{{1,5}}(?:弄\d{{1,4}})?号"
    r"(?:院)?(?:\d{1,4}(?:号楼|栋|幢|座))?(?:\d{1,2}单元)?(?:\d{1,5}室)?",
    "japanese": r"(?:〒\d{3}-\d{4} ?)?(?:[\u4e00-\u9fff]{2,3}[都道府県])(?:[\u3040-\u30ff\u4e00-\u9fff]{1,6}[市区町村郡])+[\u3040-\u30ff\u4e00-\u9fff]{1,8}"
    r"\d{1,3}(?:丁目\d{1,4}(?:番地?)?(?:\d{1,4}号?)?|(?:-\d{1,4}){1,2})",
}
FORM = re.compile("|".join(rf"(?<![\w./-]){form}" if name not in ("chinese", "japanese") else form for name, form in FORMS.items()))
LIKELY = re.compile(r"[^\W\d_][.,]? (?:n\S+ ?)?\d|\d[A-Za-z]?,? [A-Za-z]|号|丁目|[都道府県]\S*\d")


def find(text: str) -> Iterator[tuple[int, int]]:
    """Street addresses."""
    if LIKELY.search(text):
        yield from (match.span() for match in FORM.finditer(text))
