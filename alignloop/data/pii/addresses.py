"""Street addresses: patterns of street and number, with town and unit, as written in several countries."""

import re
from collections.abc import Iterator

NAME = r"(?:(?:St|Mt|Dr)\. )?[A-ZÀ-ÖØ-Þ](?:[^\W\d_]|['’-])*"
OF = (
    r"(?:(?:de la|de los|de las|de|du|des|del|della|delle|dei|degli|di|da|do|dos|das"
    r"|la|le|les|los|las|el|der|van|van de|den|al|e|y)\s"
    r"|d['’]|l['’]|dell['’])"
)
NAMES = rf"(?:{OF}{{0,2}}{NAME}(?: {OF}{{0,2}}{NAME}){{0,3}})"
HAN = r"(?:(?![在到是于址往寄至])[\u4e00-\u9fff])"  # except characters that may precede an address
KANA = r"[\u3040-\u30ff\u4e00-\u9fff]"
STREET = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Ter|Way"
    r"|Parkway|Pkwy|Highway|Hwy|Crescent|Close|Gardens|Grove|Mews|Row|Circle|Cir|Trail|Alley"
    r"|Broadway|Hill|Nagar|Marg|Quay)\b(?! to\b)"
)
POSTCODE = r"(?:,? [A-Z]{2} \d{5}(?:-\d{4})?|,? [A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2})?\b"
TOWN = rf"(?:,(?: {NAME}){{1,3}})?"
FORMS = (
    # 12 W 34th Street, Suite 5, Springfield, IL 62704
    rf"\d{{1,5}}[A-Za-z]?(?:[-/]\d{{1,4}})? (?:[NSEW]{{1,2}}\.? )?"
    rf"(?:(?:{NAME}|\d{{1,3}}(?:st|nd|rd|th)) ){{1,4}}{STREET}(?:\.(?= \w))?"
    rf"(?: [NSEW]{{1,2}}\b)?(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|#)\.? ?#?\w{{1,5}})?"
    rf"{TOWN}{POSTCODE}",
    # Flat 3, 27 Abbey Road, London NW8 9AY
    rf"(?:Flat|Apartment|Unit) \w{{1,4}}, \d{{1,4}}[A-Za-z]? (?:{NAME} ){{1,4}}{STREET}{TOWN}{POSTCODE}",
    r"P\.? ?O\.? Box \d{1,6}",
    # Kölner Straße 21, 50667 Köln
    r"(?:[A-ZÄÖÜ][\wäöüß]*(?:[ -][A-ZÄÖÜ][\wäöüß]*){0,2}[ -]?"
    r"(?:[sS]tra(?:ß|ss)e|[sS]tr\.|[wW]eg|[pP]latz|[aA]llee|[gG]asse|[rR]ing|[dD]amm|[uU]fer|[cC]haussee)"
    r"|(?:Am|An der|An den|Im|In der|Zum|Zur|Unter den|Auf dem|Alter|Alte) [A-ZÄÖÜ][\wäöüß]+)"
    r" \d{1,4}(?: ?[a-z]|/\d{1,4})?\b(?:, (?:D-|A-|CH-)?\d{4,5} [A-ZÄÖÜ][\wäöüß]+)?",
    # 3 bis, avenue Victor Hugo, 75016 Paris
    r"\d{1,4}(?: ?(?:bis|ter|quater))?,? "
    rf"(?:rue|avenue|av\.|boulevard|bd|place|impasse|allée|chemin|quai|route|cours|square|passage) "
    rf"{NAMES}(?:,? \d{{5}} {NAME})?",
    # Plaza de España, 8, 3.º B, 28008 Madrid
    rf"(?:Calle|C/|Avenida|Avda\.?|Av\.|Plaza|Paseo|Camino|Ronda|Travesía|Carrer|calle|avenida|plaza) ?"
    rf"{NAMES},? (?:n\.?º ?|núm\. ?)?"
    rf"\d{{1,4}}(?:, \d{{1,2}}\.?º ?[A-Za-z]?\b)?(?:, \d{{5}} {NAME})?",
    # Viale dei Giardini 22/B, 20121 Milano
    rf"(?:[Vv]ia|[Vv]iale|[Pp]iazza|[Cc]orso|[Ll]argo|[Vv]icolo|[Ss]trada|[Pp]iazzale) {NAMES},? "
    rf"\d{{1,4}}(?:/[A-Za-z])?\b(?:, \d{{5}} {NAME})?",
    # Nieuwstraat 5, 1012 AB Amsterdam
    rf"[A-Z][a-z]+(?:straat|weg|laan|plein|gracht|kade|dijk|singel|pad) \d{{1,4}}(?: ?[a-z])?\b"
    rf"(?:, \d{{4}} ?[A-Z]{{2}} {NAME})?",
    # Rua das Flores, 25, 01310-100 São
    rf"(?:Rua|Avenida|Av\.|Travessa|Praça|Alameda|Rodovia|Largo|rua|avenida) {NAMES},? (?:n\.?º ?)?"
    rf"\d{{1,5}}(?:, \d{{5}}-\d{{3}}(?: {NAME})?)?",
)
UNSPACED = (
    # 广东省深圳市南山区科技路8号3栋501室
    rf"(?:{HAN}{{2,3}}省)?(?:{HAN}{{2,3}}市)?(?:{HAN}{{1,4}}[区县])?{HAN}{{2,6}}?(?:大街|大道|路|街|巷|胡同)\d{{1,5}}(?:弄\d{{1,4}})?号"
    r"(?:院)?(?:\d{1,4}(?:号楼|栋|幢|座))?(?:\d{1,2}单元)?(?:\d{1,5}室)?",
    # 〒150-0002 東京都渋谷区渋谷2丁目21番1号
    rf"(?:〒\d{{3}}-\d{{4}} ?)?(?:[\u4e00-\u9fff]{{2,3}}[都道府県])"
    rf"(?:{KANA}{{1,6}}[市区町村郡])+{KANA}{{1,8}}"
    r"\d{1,3}(?:丁目\d{1,4}(?:番地?)?(?:\d{1,4}号?)?|(?:-\d{1,4}){1,2})",
)
FORM = re.compile("|".join([*(rf"(?<![\w./-])(?:{form})" for form in FORMS), *UNSPACED]))
LIKELY = re.compile(r"[^\W\d_][.,]? (?:n\S+ ?)?\d|\d[A-Za-z]?,? [A-Za-z]|号|丁目|[都道府県]\S*\d")


def find(text: str) -> Iterator[tuple[int, int]]:
    """The spans of street addresses."""
    if LIKELY.search(text):
        yield from (match.span() for match in FORM.finditer(text))
