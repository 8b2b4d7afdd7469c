"""Where a round's ledger is shown: reports/ledger/ROUND.json, MLflow, and a section of reports/results.md."""

from pathlib import Path

from alignloop.files import replacing, write_json
from alignloop.params import Params
from alignloop.release.ledger import round_ledger
from alignloop.release.ledger_table import FOLDER, HEADING, ledger_text
from alignloop.tracking import ActiveRun


def keep_ledger(root: Path, params: Params, round: str, active: ActiveRun) -> dict[str, float]:
    """Write the ledger of a round whose evaluation is `active`, add it to that run; returns its headlines."""
    ledger = round_ledger(root, params, round, active.id)
    file = root / FOLDER / f"{round}.json"
    write_json(file, ledger)
    active.upload(file, FOLDER.as_posix())
    minutes = [part["minutes"] for part in ledger["labels"].values() if part["minutes"] is not None]
    headlines = {
        "rankings": sum(part["rankings"] for part in ledger["labels"].values()),
        "people_minutes": sum(minutes) if minutes else None,
        "cpu_hours": ledger["used"]["cpu_hour"],
        "gpu_hours": ledger["used"]["gpu_hour"],
        "judge_calls": ledger["used"]["judge_call"],
        "points_gained": ledger["points"]["gained"],
        "cost": ledger["cost"],
        "cost_per_point": (ledger["cost_per_point"] or {}).get("cost"),
    }
    points = {f"ledger/{name}": value for name, value in headlines.items() if value is not None}
    active.log(0, points)
    return points


def add_to_report(root: Path, params: Params, report: Path) -> None:
    """Add the ledgers of all rounds to a report in Markdown, and write each again."""
    ledgers = [round_ledger(root, params, name) for name in params.rounds]
    for ledger in ledgers:
        write_json(root / FOLDER / f"{ledger['round']}.json", ledger)
    text = report.read_text(encoding="utf-8")
    with replacing(report) as part:
        part.write_text(f"{text.rstrip()}\n\n{HEADING}\n\n{ledger_text(ledgers)}\n", encoding="utf-8")
