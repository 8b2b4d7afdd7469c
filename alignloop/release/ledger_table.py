"""The ledgers of rounds as Markdown, for reports and for people on a console."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from alignloop.data.ranking_makers import SIMULATED
from alignloop.markdown import number, plain, table

FOLDER = Path("reports", "ledger")
HEADING = "## What each round cost and what it bought"
PRICED = {
    "people_hour": "people's hours",
    "cpu_hour": "CPU hours",
    "gpu_hour": "GPU hours",
    "judge_call": "judge calls",
    "judge_million_prompt_tokens": "tokens that the judge read",
    "judge_million_completion_tokens": "tokens that the judge wrote",
}


def written_ledgers(root: Path, rounds: Iterable[str]) -> str:
    """The section on the ledgers that are in reports/ledger; empty where none is."""
    files = [root / FOLDER / f"{name}.json" for name in rounds]
    ledgers = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]
    return f"{HEADING}\n\n{ledger_text(ledgers)}\n" if ledgers else ""


def ledger_text(ledgers: Sequence[Mapping[str, Any]]) -> str:
    """The ledgers of rounds in Markdown: a row for each round, CPU hours by stage, what is not known."""
    columns = "round, rankings, minutes, judge calls, judge tokens, CPU h, GPU h, points, cost, per point"
    rows: list[list[str]] = [[*columns.split(", ")]]
    for ledger in ledgers:
        used, points = ledger["used"], ledger["points"]
        tokens = 1e6 * (used["judge_million_prompt_tokens"] + used["judge_million_completion_tokens"])
        minutes = [part["minutes"] for part in ledger["labels"].values() if part["minutes"] is not None]
        rows.append(
            [
                plain(ledger["round"]),
                f"{sum(part['rankings'] for part in ledger['labels'].values()):,}",
                number(sum(minutes) if minutes else None, 1),
                f"{used['judge_call']:,}",
                f"{tokens:,.0f}",
                number(used["cpu_hour"], 3),
                number(used["gpu_hour"], 3),
                f"{number(points['gained'], 1)} [{number(points['low'], 1)}, {number(points['high'], 1)}]",
                number(ledger["cost"], 2),
                _per_point(ledger["cost_per_point"]),
            ]
        )
    stages = list(dict.fromkeys(name for ledger in ledgers for name in ledger["stages"]))
    hours = [["CPU hours", *(plain(ledger["round"]) for ledger in ledgers)]]
    hours += [[name, *(_hours(ledger["stages"].get(name)) for ledger in ledgers)] for name in stages]
    return "\n\n".join([table(rows), *_notes(ledgers), table(hours)])


def _notes(ledgers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    made = [
        f"{plain(ledger['round'])} {', '.join(_labels(ledger['labels'])) or 'none'}" for ledger in ledgers
    ]
    yield f"Rankings: {'; '.join(made)}."
    judges = " and ".join(sorted({ledger["points"]["judged_by"] for ledger in ledgers}))
    yield (
        f"Points: 100 × (win rate over the policy before − ½), by {judges}; 95 % intervals. Minutes: "
        "people's time in view of the rankings that are used; gold items, repeats and the quiz are not "
        "counted. Hours are those of the MLflow runs that made the results."
    )
    unpriced = sorted({PRICED[name] for ledger in ledgers for name in ledger["not_priced"]})
    priced = f"Costs in {plain(ledgers[0]['currency'])}, by ledger.prices in params.yaml"
    yield f"{priced}; not priced: {', '.join(unpriced)}." if unpriced else f"{priced}."
    unmetered = {each["round"]: each["not_metered"] for each in ledgers if each["not_metered"]}
    if unmetered:
        named = "; ".join(f"{plain(round)}: {', '.join(stages)}" for round, stages in unmetered.items())
        yield f"Not metered in this store, so not counted: {named}."


def _labels(labels: Mapping[str, Any]) -> Iterator[str]:
    """Who made how many rankings; simulated labelers are called so, and have no minutes."""
    for maker, part in labels.items():
        timed = ""
        if part["minutes"] is not None:
            timed = f" in {part['minutes']:,.1f} minutes ({part['measured']:,} measured)"
        elif not maker.startswith(SIMULATED):
            timed = " (time not measured)"
        yield f"{part['rankings']:,} {plain(maker)}{timed}"


def _hours(cost: Mapping[str, float] | None) -> str:
    return number(cost["cpu_hours"] if cost else None, 3)


def _per_point(cost: Mapping[str, float | None] | None) -> str:
    if cost is None:
        return "–"
    high = "∞" if cost["high"] is None else number(cost["high"], 2)
    return f"{number(cost['cost'], 2)} [{number(cost['low'], 2)}, {high}]"
