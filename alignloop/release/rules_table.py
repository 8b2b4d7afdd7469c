"""Violations of the rules as a table of the results."""

from collections.abc import Mapping
from typing import Any

from alignloop.evaluation.results_table import NAMES
from alignloop.markdown import number, plain, table


def rules_table(results: Mapping[str, Any]) -> str:
    """Violations per 1,000 responses in Markdown: a row per rule, a column per model; empty without rules."""
    parts: list[str] = []
    if rules := results.get("rules"):
        rows: Mapping[str, Any] = rules["rows"]
        names = [NAMES.get(name, name) for name in rows]
        first = next(iter(rows.values()))
        body = [
            [plain(rule), *(number(row["rules"][rule], 1) for row in rows.values())]
            for rule in first["rules"]
        ]
        body.append(["any, but for those only logged", *(number(row["any"], 1) for row in rows.values())])
        parts.append(table([["violations per 1,000 responses", *names], *body]))
    if tried := results.get("red_team"):
        parts.append(f"{tried['got_round']} of {tried['prompts']} red-team prompts get round a rule.")
    return "".join(f"{part}\n\n" for part in parts)
