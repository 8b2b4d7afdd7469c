"""Drift of served prompts: those of people who have agreed, redacted, against the training prompts."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from alignloop.data import record_files
from alignloop.data.validation.profiles import profile_of
from alignloop.data.validation.record_tables import record_table
from alignloop.errors import AlignloopError
from alignloop.files import write_json
from alignloop.lineage.drift import page
from alignloop.lineage.drift.distances import Shift, measure_shifts
from alignloop.records import Prompt

PROFILES = Path("reports", "profiles", "sets.json")
FOLDER = Path("reports", "served")
RESULT = FOLDER / "drift.json"
SET = "prompts"
MEASURES = ("length", "language")  # of chat every prompt has the category `chat`, and nobody has ranked it
TITLE = "Drift: what served prompts have that training prompts have not"
BEFORE = "the training prompts (stage validate_sets)"


class ServedDriftError(AlignloopError):
    """The prompts cannot be compared; the message says why."""


class ServedDrift(NamedTuple):
    """How far the served prompts are from the training prompts, and when that was measured."""

    time: float
    served: int
    trained: int
    shifts: Sequence[Shift]


def measure(root: Path, prompts: Sequence[Prompt], bounds: Mapping[str, float | None]) -> ServedDrift:
    """Compare, and write the page, its picture, and the result for the operators' page.

    Raises ServedDriftError where one of the two is missing.
    """
    if not prompts:
        raise ServedDriftError(
            "there is no prompt of people who agree to its use: `Use for training` on the chat page"
        )
    try:
        trained: dict[str, Any] = json.loads((root / PROFILES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ServedDriftError(f"{PROFILES}: there is none; `make run ARGS=--data-only` makes it") from None
    if SET not in trained:
        raise ServedDriftError(f"{PROFILES}: has no {SET}: no model here has learned from any")
    before, now = {SET: trained[SET]}, {SET: _profile(root, prompts)}
    shifts = [each for each in measure_shifts(before, now, bounds) if each.measure in MEASURES]
    picture = root / FOLDER / "drift.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    page.draw(before, now, shifts, picture)
    page.write(root / FOLDER / "drift.html", before, now, shifts, label=BEFORE, picture=picture, title=TITLE)
    found = ServedDrift(time.time(), len(prompts), trained[SET]["rows"], shifts)
    write_json(root / RESULT, found._asdict() | {"shifts": [each._asdict() for each in shifts]})
    return found


def last(root: Path) -> ServedDrift | None:
    """What was measured last, if anything."""
    try:
        kept = json.loads((root / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return ServedDrift(**kept | {"shifts": [Shift(**each) for each in kept["shifts"]]})


def _profile(root: Path, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """The profile of the prompts, as the gate of the data makes it of files."""
    place = root / ".cache"
    place.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=place) as folder:
        file = Path(folder) / "served.jsonl"
        record_files.write(file, prompts)
        return profile_of(record_table(Prompt, {file: "train"}))
