"""Markdown for reports: tables, numbers and quoted text. Texts of the data stay text, whatever they hold."""

from collections.abc import Sequence

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
    flat = " ".join(text.split()).translate(_CONTROLS)
    return "".join(f"\\{sign}" if sign in "\\`[]<>|" else sign for sign in flat)


def one_line(text: str, most: int = 300) -> str:
    """At most `most` characters of a text on one line, with Markdown's signs escaped."""
    flat = " ".join(text.split()).translate(_CONTROLS)
    cut = flat if len(flat) <= most else flat[:most] + " …"
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|" else sign for sign in cut) or "(nothing)"
