"""Markdown for reports: tables, numbers and quoted text. Texts of the data stay text, whatever they hold."""

from collections.abc import Sequence

QUOTE_CHARACTERS, SHORT_QUOTE_CHARACTERS = 300, 150  # of a text in a report, and in a model's description

# a terminal obeys them, a database may refuse NUL, and grep calls a file with them binary
_CONTROLS = {code: chr(0x2400 + code) for code in range(32)} | {0x7F: "␡"}
_CONTROLS |= dict.fromkeys(range(0x80, 0xA0), "\N{REPLACEMENT CHARACTER}")
_LINES = {code: sign for code, sign in _CONTROLS.items() if chr(code) not in "\t\n"}


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns have one width: the first is aligned left, the others right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [f"| {' | '.join(_aligned(row, widths))} |" for row in rows]
    rules = ["-" * (width + 1) + (":" if place else "-") for place, width in enumerate(widths)]
    return "\n".join([lines[0], f"|{'|'.join(rules)}|", *lines[1:]])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def number(value: float | None, digits: int) -> str:
    """A number as people read it, with a true minus; a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def visible(text: str) -> str:
    """The text with control characters replaced by visible symbols, but for tab and line feed."""
    return text.translate(_LINES)


def plain(text: str) -> str:
    """A name of the data on one line, so that it makes no link, picture, code, tag or cell of its own."""
    return _escaped(_flat(text), "\\`[]<>|")


def one_line(text: str, most: int = QUOTE_CHARACTERS) -> str:
    """At most `most` characters of a text on one line, with Markdown's signs escaped."""
    flat = _flat(text)
    cut = flat if len(flat) <= most else flat[:most] + " …"
    return _escaped(cut, "\\`*_[]<>#|") or "(nothing)"


def _flat(text: str) -> str:
    return " ".join(text.split()).translate(_CONTROLS)


def _escaped(text: str, signs: str) -> str:
    return "".join(f"\\{sign}" if sign in signs else sign for sign in text)
