"""What a release does with the registry: the champion's bytes before its stage, models and verdict after it, then the decision."""

import json
from collections.abc import Mapping
from pathlib import Path

from alignloop.io import champion, publication
from alignloop.params import Params
from alignloop.stages.gates import told
from alignloop.stages.results import tables


def bring_champion(root: Path, params: Params, inputs: Mapping[str, str], place: Path) -> None:
    """Put what the last round's policy is compared with into `place`; nothing where that is SFT."""
    path = f"models/{list(params.rounds)[-1]}/policy"
    if path in inputs:  # the stage itself says what is missing
        champion.bring(root, f"{params.release.registry}-policy", inputs[path], place)


def register(root: Path, params: Params, inputs: Mapping[str, str], metrics: Path, run: str) -> str:
    """Register what the release holds, and say all that is to be said of it."""
    found = json.loads(metrics.read_text(encoding="utf-8"))
    verdict, results = told(found["verdict"]), tables(found)
    versions = publication.publish(root, params, inputs, run, results, found["verdict"], verdict)
    names = ", ".join(version.label for version in versions.values())
    return f"\n{results}\n{verdict}\nregistered {names}"


settle = publication.settle
