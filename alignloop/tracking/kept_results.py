"""What of a stage's outputs MLflow keeps: numbers, curves and pages, and pictures of them."""

import json
from collections.abc import Sequence
from pathlib import Path

from alignloop.flatten import flatten


def results_of(written: Sequence[str]) -> tuple[list[tuple[Path, str]], dict[str, float]]:
    """The outputs that MLflow keeps, each with its place there, and the numbers in them.

    It keeps numbers, curves and pages, and pictures of them.
    """
    from alignloop.tracking import figures  # brings matplotlib

    kept: list[tuple[Path, str]] = []
    numbers: dict[str, float] = {}
    for path in map(Path, written):
        if path.suffix == ".json":
            leaves = flatten(json.loads(path.read_text(encoding="utf-8"))).items()
            numbers |= {
                key: leaf for key, leaf in leaves if isinstance(leaf, int | float) and key.count(".") < 3
            }
        if path.parts[0] in ("metrics", "plots", "reports") and path.exists():
            kept.append((path, path.parts[0]))
            picture = figures.draw(path, Path("reports", *path.with_suffix(".png").parts[1:]))
            if picture:
                kept.append((picture, "figures"))
    return kept, numbers
