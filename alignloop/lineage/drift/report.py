"""What a gate tells of drift: lines for the log, pages beside its own, and links to all of them on the page of its MLflow run."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alignloop import tracking
from alignloop.data.validation import data_docs
from alignloop.lineage.drift import page
from alignloop.lineage.drift.baseline import ProfileMissing, before
from alignloop.lineage.drift.distances import Shift, shifts
from alignloop.pipeline.stage_files import Footprint

PAGE, PICTURE = "drift.html", "drift.png"


def report(
    root: Path,
    gate: Footprint,
    run: tracking.Live,
    inputs: Mapping[str, str],
    bounds: Mapping[str, float | None],
    given: Mapping[str, Any],
) -> Iterator[str]:
    """Compare what the gate has let pass with the version before; no file that DVC knows depends on it."""
    docs, profile = Path(given["docs"]), Path(given["profile"])
    found: list[Shift] = []
    try:
        earlier = before(root, gate.stage, gate.round, inputs, profile.as_posix())
        words = (
            f"against the version before, which passed {earlier.words}"
            if earlier
            else "there is no version before this one to compare with"
        )
    except (ProfileMissing, tracking.TrackingError) as error:
        earlier, words = None, f"not compared with the version before: {error}"
    if earlier:
        now = json.loads(profile.read_text(encoding="utf-8"))
        found = sorted(shifts(earlier.profiles, now, bounds), key=lambda shift: shift.chance - shift.distance)
        if found:
            page.draw(earlier.profiles, now, found, docs / PICTURE)
            page.write(docs / PAGE, earlier.profiles, now, found, earlier.words, docs / PICTURE)
    warnings = [shift for shift in found if shift.warns]
    told = f"drift: {words}" + (
        f": {len(warnings)} of {len(found)} measures moved beyond their bounds" if earlier else ""
    )
    yield told
    for shift in warnings:
        yield f"warning: drift: {shift}; {docs / PAGE} shows it"
    data_docs.append_to_page(docs / "index.html", page.section(told, warnings, PAGE if found else None))
    run.describe(_links(run, docs, told, warnings))


def _links(run: tracking.Live, docs: Path, told: str, warnings: list[Shift]) -> str:
    """The pages as Markdown, by addresses that MLflow's pages resolve."""
    shown = {
        f"{name}: every rule, and what was seen": place
        for name, place in data_docs.result_pages(docs).items()
    }
    shown |= {"drift: before and now": docs / PAGE} if (docs / PAGE).exists() else {}
    address = run.page
    links = [
        f"- [{words}]({address}/artifacts/reports/{place.relative_to(docs).as_posix()})"
        for words, place in shown.items()
    ]
    return "\n".join(["Pages of this gate:", "", *links, "", told, *(f"- **{shift}**" for shift in warnings)])
