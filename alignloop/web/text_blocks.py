"""Splits a text for display: fenced code and tables are marked as such, everything else stays as written.

Markdown is not interpreted: what a renderer would hide (a link's target, a comment) may be what a
labeler must see.
"""

import re
from dataclasses import dataclass
from typing import Literal

_FENCE = re.compile(r"^(`{3,}|~{3,})[ \t]*([^\n`]*)$")
_RULE = re.compile(r"^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
_CONTROL = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"} | {0x7F: "␡"}


@dataclass(frozen=True)
class Block:
    """A part of a text: prose, code with its language in `rows`, or a table with its header row first."""

    kind: Literal["prose", "code", "table"]
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


def blocks(text: str) -> list[Block]:
    """The blocks of a text in order. Control characters are replaced by visible symbols."""
    lines = text.translate(_CONTROL).split("\n")
    result: list[Block] = []
    prose: list[str] = []

    def flush() -> None:
        if "".join(prose).strip():
            result.append(Block("prose", "\n".join(prose).strip("\n")))
        prose.clear()

    place = 0
    while place < len(lines):
        if fence := _FENCE.match(lines[place]):
            end = next((n for n in range(place + 1, len(lines)) if lines[n].strip() == fence[1]), len(lines))
            flush()
            result.append(Block("code", "\n".join(lines[place + 1 : end]), ((fence[2].strip(),),)))
            place = end + 1
        elif (
            "|" in lines[place]
            and place + 1 < len(lines)
            and "|" in lines[place + 1]
            and _RULE.match(lines[place + 1])
        ):
            end = next((n for n in range(place + 2, len(lines)) if "|" not in lines[n]), len(lines))
            flush()
            result.append(
                Block("table", rows=tuple(_cells(line) for n, line in enumerate(lines[place:end]) if n != 1))
            )
            place = end
        else:
            prose.append(lines[place])
            place += 1
    flush()
    return result


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|"))
