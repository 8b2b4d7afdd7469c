"""Splits a text for display: fenced code and tables are marked as such, everything else stays as written.

Markdown is not interpreted: what a renderer would hide (a link's target, a comment) may be what a
labeler must see.
"""

import re
from dataclasses import dataclass
from typing import Literal

from alignloop.markdown import visible

# possessive, and one cell at a time: a labeler's text must not make the matching try every split of a run
_FENCE = re.compile(r"(`{3,}+|~{3,}+)([^\n`]*+)")
_RULE = re.compile(r":?-++:?")


@dataclass(frozen=True)
class Block:
    """A part of a text: prose, code with its language in `rows`, or a table with its header row first."""

    kind: Literal["prose", "code", "table"]
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


def blocks(text: str) -> list[Block]:
    """The blocks of a text in order. Control characters are replaced by visible symbols."""
    lines = visible(text).split("\n")
    result: list[Block] = []
    prose: list[str] = []

    def flush() -> None:
        if "".join(prose).strip():
            result.append(Block("prose", "\n".join(prose).strip("\n")))
        prose.clear()

    place = 0
    while place < len(lines):
        if fence := _FENCE.fullmatch(lines[place]):
            end = next((n for n in range(place + 1, len(lines)) if lines[n].strip() == fence[1]), len(lines))
            flush()
            result.append(Block("code", "\n".join(lines[place + 1 : end]), ((fence[2].strip(),),)))
            place = end + 1
        elif "|" in lines[place] and place + 1 < len(lines) and _is_rule(lines[place + 1]):
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


def _is_rule(line: str) -> bool:
    """Whether a line separates a table's header from its body."""
    return "|" in line and all(_RULE.fullmatch(cell) for cell in _cells(line))


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|"))
