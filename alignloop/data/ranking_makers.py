"""Who made rankings: a simulated panel and by which rule, people, a judge model, or the file that had them.

Everything that reports on rankings uses these words, and all of them come from the records.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from alignloop.data.parquet_columns import count_values
from alignloop.data.parquet_shards import MAGIC
from alignloop.markdown import plain
from alignloop.records import Ranking

SIMULATED = "simulated"  # every maker that is a simulated panel begins with it, and no other does
RULES = {
    "gold": "the built-in environment's exact ground-truth score",
    "form": "a heuristic of form (length, punctuation, words of the prompt, repetition) blind to content",
}
SHOWN = 5  # makers that a sentence names
_KINDS = {"panel": SIMULATED, "person": "people", "judge": "a judge model"}
_RANKING_LINE = b'"ranks"'
_COLUMNS = ("kind", "simulated_by", "round", "policy", "prompt.source", "origin.sha256")


def maker_of(ranking: Ranking) -> str:
    """Who made a ranking, in words: `simulated (form)`, `people`, `imported from prefs.jsonl (trl)`."""
    sha256 = ranking.origin.sha256 if ranking.origin else None
    source = ranking.prompt.source
    return _maker((ranking.kind, ranking.simulated_by, ranking.round, ranking.policy, source, sha256))


def count_makers(rankings: Iterable[Ranking]) -> dict[str, int]:
    """The number of rankings by each maker, by name."""
    return dict(sorted(Counter(map(maker_of, rankings)).items()))


def makers_in_file(file: Path) -> dict[str, int]:
    """The number of rankings by each maker in a JSON Lines file or a shard; empty if it holds no rankings.

    Rows that are no rankings are left out: this describes files, `validate` checks them.
    """
    with file.open("rb") as start:
        is_shard = start.read(len(MAGIC)) == MAGIC  # a file in DVC's cache has no suffix
    if is_shard:
        makers = Counter[str]()
        for values, count in count_values(file, _COLUMNS).items():
            if values[0] in _KINDS and values[3]:  # kind and policy, which only rankings have
                makers[_maker(values)] += count
        return dict(sorted(makers.items()))
    with file.open("rb") as lines:
        rows = (_fields(line) for line in lines if _RANKING_LINE in line)
        return dict(sorted(Counter(_maker(row) for row in rows if row).items()))


def describe(counts: Mapping[str, int]) -> str:
    """The makers with their shares, simulated ones first: `89 % simulated (form), 11 % people`."""
    if not counts:
        return "none"
    total = sum(counts.values())
    order = sorted(counts.items(), key=lambda item: (not item[0].startswith(SIMULATED), -item[1], item[0]))
    if len(order) == 1:
        return f"all {plain(order[0][0])}"
    words = [f"{_percent(count, total)} {plain(maker)}" for maker, count in order[:SHOWN]]
    if rest := order[SHOWN:]:
        words.append(f"{_percent(sum(count for _, count in rest), total)} from {len(rest)} more")
    return ", ".join(words)


def rules_in(counts: Mapping[str, int]) -> dict[str, str]:
    """The rules by which simulated labelers ranked some of these, with what each rule is."""
    return {
        rule: words
        for rule, words in RULES.items()
        if any(maker.startswith(f"{SIMULATED} ({rule})") for maker in counts)
    }


def _maker(values: Iterable[Any]) -> str:
    kind, rule, round, policy, source, sha256 = values
    who = f"{SIMULATED} ({rule or 'rule not recorded'})" if kind == "panel" else _KINDS[kind]
    if not sha256:
        return who
    # an importer names its format as the policy; our own records keep the policy that responded
    imported = f"imported from {source}" + (f" ({policy})" if round == "imported" else "")
    return imported if kind == "person" else f"{who}, {imported}"


def _fields(line: bytes) -> list[Any] | None:
    """The values of a ranking's fields that say who made it; None if the line is no ranking."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            row = json.loads(line)  # numbers of twenty digits
        except ValueError:
            return None
    if not isinstance(row, dict) or row.get("kind") not in _KINDS:
        return None
    return [_value(row, column) for column in _COLUMNS]


def _value(row: Any, column: str) -> str | None:
    for name in column.split("."):
        row = row.get(name) if isinstance(row, dict) else None
    return row if isinstance(row, str) else None


def _percent(count: int, total: int) -> str:
    """A share that is neither all nor nothing never reads as 100 % or 0 %."""
    share = min(max(round(100 * count / total), 1), 99)
    about = "under " if 200 * count < total else ""
    return f"{about}{share} %"
