"""Training curves as CSV files, one line per step, for `dvc plots` and spreadsheets."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from alignloop.files import replacing


def write_curve(path: Path, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
    """Write (step, metrics) rows; a metric that is missing at a step stays empty."""
    names = list(dict.fromkeys(name for _, metrics in rows for name in metrics))
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", *names])
        for step, metrics in rows:
            writer.writerow([step, *(f"{metrics[name]:.6g}" if name in metrics else "" for name in names)])
