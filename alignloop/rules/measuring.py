"""How often each rule is right on texts that people labelled, and how long it takes for a text."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

from pydantic import Field

from alignloop.data import record_files
from alignloop.errors import AlignloopError
from alignloop.markdown import number, plain, table
from alignloop.records import Record, Text
from alignloop.rules.rule import Side
from alignloop.rules.rule_set import RuleSet

HIGH = 0.95  # the quantile of latencies that is shown beside the median


class LabelError(AlignloopError):
    """Labelled texts name rules that there are not."""


class LabelledText(Record):
    """A text, what it is, and the rules that it should hit."""

    text: Text
    side: Side = "response"
    hits: Annotated[tuple[str, ...], Field(strict=False)] = ()


@dataclass(frozen=True)
class Measured:
    """One rule on the texts of its side: counts, and seconds for each text."""

    rule: str
    right: int  # it was hit, and should be
    wrong: int  # it was hit, and should not be
    missed: int
    seconds: tuple[float, ...]

    @property
    def precision(self) -> float | None:
        """The share of its hits that are right, None without hits."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None

    @property
    def recall(self) -> float | None:
        """The share of what it should find that it found, None where there is nothing to find."""
        return self.right / (self.right + self.missed) if self.right + self.missed else None


def measure(rules: RuleSet, file: Path) -> list[Measured]:
    """Check every rule on every text of its side. Raises DataError, LabelError or RuleFailed."""
    texts = record_files.read(file, LabelledText)
    unknown = [
        f"{file}, line {line}: hits: there is no rule {name!r} for a {each.side}"
        for line, each in enumerate(texts, 1)
        for name in each.hits
        if name not in rules.on(each.side)
    ]
    if unknown:
        raise LabelError("\n".join([*unknown, f"rules are: {', '.join(rules.rules) or 'none'}"]))
    return [_measured(rules, name, texts) for name in rules.rules]


def _measured(rules: RuleSet, name: str, texts: Sequence[LabelledText]) -> Measured:
    chosen = [each for each in texts if rules.rules[name].applies_to(each.side)]
    if chosen:
        _is_hit(rules, name, chosen[0])  # loads what it needs
    outcomes: list[tuple[bool, bool]] = []
    seconds: list[float] = []
    for each in chosen:
        begun = time.perf_counter()
        is_hit = _is_hit(rules, name, each)
        seconds.append(time.perf_counter() - begun)
        outcomes.append((is_hit, name in each.hits))
    return Measured(
        name,
        right=outcomes.count((True, True)),
        wrong=outcomes.count((True, False)),
        missed=outcomes.count((False, True)),
        seconds=tuple(seconds),
    )


def _is_hit(rules: RuleSet, name: str, each: LabelledText) -> bool:
    role = "user" if each.side == "prompt" else "assistant"
    return bool(rules.find(each.side, [{"role": role, "content": each.text}], [name]))


def render(measured: Sequence[Measured]) -> str:
    """A table: a row per rule."""
    rows = [["rule", "texts", "to find", "precision", "recall", "ms, median", f"{HIGH:.0%}", "most"]]
    for each in measured:
        ordered = sorted(each.seconds)
        at = ordered[min(len(ordered) - 1, int(HIGH * len(ordered)))] if ordered else None
        times = (median(ordered), at, ordered[-1]) if ordered else (None, None, None)
        rows.append(
            [
                plain(each.rule),
                f"{len(each.seconds):,}",
                f"{each.right + each.missed:,}",
                number(each.precision, 3),
                number(each.recall, 3),
                *(number(None if value is None else 1000 * value, 2) for value in times),
            ]
        )
    return table(rows)
