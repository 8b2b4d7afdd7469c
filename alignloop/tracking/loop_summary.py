"""The headlines of a whole loop, from the metrics files of its stages."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from alignloop.flatten import flatten
from alignloop.pipeline.stage_files import entries
from alignloop.tracking.metric_names import headlines


def recorded_headlines(root: Path) -> Iterator[tuple[str | None, dict[str, float]]]:
    """Yield the round and the headlines of each stage of dvc.yaml whose metrics file is here."""
    for entry in entries(root):
        words = shlex.split(entry.command)
        if words[1:3] != ["-m", "alignloop"]:
            continue
        leaves = {}
        for file in (root / out for out in entry.outs if out.startswith("metrics/")):
            leaves |= flatten(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
        yield entry.round, headlines(words[3], leaves)
