"""The drift report of a gate: lines for the log, pages beside the gate's own, and links on its MLflow run."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alignloop import tracking
from alignloop.data.validation import data_docs
from alignloop.lineage.drift import page
from alignloop.lineage.drift.baseline import Baseline, MissingProfileError, find_baseline
from alignloop.lineage.drift.distances import Shift, measure_shifts
from alignloop.pipeline.stage_files import Footprint

PAGE, PICTURE = "drift.html", "drift.png"


def report(
    root: Path,
    gate: Footprint,
    run: tracking.ActiveRun,
    *,
    inputs: Mapping[str, str],
    bounds: Mapping[str, float | None],
    arguments: Mapping[str, Any],
) -> Iterator[str]:
    """Compare the data that the gate has let pass with the version before, and yield the result for the log.

    `arguments` are those of the gate's command. No file that DVC tracks depends on the report.
    """
    docs, profile = Path(arguments["docs"]), Path(arguments["profile"])
    baseline: Baseline | None = None
    shifts: list[Shift] = []
    try:
        baseline = find_baseline(root, gate.stage, gate.round, inputs, profile.as_posix())
        summary = "drift: there is no version before this one to compare with"
    except (MissingProfileError, tracking.TrackingError) as error:
        summary = f"drift: not compared with the version before: {error}"
    if baseline:
        now = json.loads(profile.read_text(encoding="utf-8"))
        unsorted = measure_shifts(baseline.profiles, now, bounds)
        shifts = sorted(unsorted, key=lambda shift: shift.chance - shift.distance)
        if shifts:
            page.draw(baseline.profiles, now, shifts, docs / PICTURE)
            page.write(
                docs / PAGE, baseline.profiles, now, shifts, label=baseline.label, picture=docs / PICTURE
            )
        count = sum(shift.exceeds_bound for shift in shifts)
        summary = (
            f"drift: compared with the version before, which passed {baseline.label}: "
            f"{count} of {len(shifts)} measures moved beyond their bounds"
        )
    warnings = [shift for shift in shifts if shift.exceeds_bound]
    yield summary
    for shift in warnings:
        yield f"warning: drift: {shift}; {docs / PAGE} shows it"
    data_docs.append_to_page(
        docs / "index.html", page.index_section(summary, warnings, PAGE if shifts else None)
    )
    run.describe(_links(run, docs, summary, warnings))


def _links(run: tracking.ActiveRun, docs: Path, summary: str, warnings: list[Shift]) -> str:
    """Return the pages as Markdown, linked by addresses relative to MLflow's pages."""
    pages = {
        f"{name}: every rule, and what was seen": place
        for name, place in data_docs.result_pages(docs).items()
    }
    if (docs / PAGE).exists():
        pages["drift: before and now"] = docs / PAGE
    address = run.page
    links = [
        f"- [{title}]({address}/artifacts/reports/{place.relative_to(docs).as_posix()})"
        for title, place in pages.items()
    ]
    lines = [f"- **{shift}**" for shift in warnings]
    return "\n".join(["Pages of this gate:", "", *links, "", summary, *lines])
