"""Draw what a stage measured as PNG pictures, for MLflow."""

import json
from pathlib import Path

from alignloop.files import replacing
from alignloop.tracking.curve_figures import curves, overoptimisation
from alignloop.tracking.evaluation_figures import behaviours, rounds
from alignloop.tracking.reward_figures import agreement


def draw(source: Path, picture: Path) -> Path | None:
    """Draw the curves, reward metrics, evaluation or release in `source`; None if it has nothing to draw."""
    if source.name == "overoptimisation.csv":
        figure = overoptimisation(source)
    elif source.suffix == ".csv":
        figure = curves(source)
    elif source.name == "evaluate.json":
        figure = behaviours(json.loads(source.read_text(encoding="utf-8")), source.parent.name)
    elif source.name == "reward.json":
        figure = agreement(json.loads(source.read_text(encoding="utf-8"))["agreement"], source.parent.name)
    elif source.name == "release.json":
        figure = rounds(json.loads(source.read_text(encoding="utf-8")))
    else:
        return None
    if figure is None:
        return None
    with replacing(picture) as part:
        figure.savefig(part, format="png", dpi=110, metadata={"Software": None})
    return picture
