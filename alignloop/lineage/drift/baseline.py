"""The version before: what the same gate last let pass that was other data, as dvc.lock, MLflow's runs or git's commits tell."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from alignloop.errors import AlignloopError
from alignloop.lineage import graph
from alignloop.lineage.graph import LOCK, Making
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.git import past


class ProfileMissing(AlignloopError):
    """There is a version before, and what is known of it is not here."""


class Before(NamedTuple):
    """The profiles of the version before, and which it is, in words."""

    profiles: Mapping[str, Any]
    words: str


def before(
    root: Path, stage: str, round: str | None, inputs: Mapping[str, str], profile: str
) -> Before | None:
    """The newest version that the gate let pass of other data than `inputs`; None where there was none that has a `profile`.

    Raises ProfileMissing where DVC's cache has its profile no more, or not yet.
    """
    for making in _makings(root, stage):
        other = any(
            making.inputs.get(path, hash) != hash for path, hash in inputs.items() if path.startswith("data/")
        )
        if (making.stage, making.round) == (stage, round) and other and (hash := making.outputs.get(profile)):
            place = dvc_pipeline.pipeline(root.resolve()).place(hash)
            if not place.exists():
                raise ProfileMissing(
                    f"{profile} {hash} ({making.label}) is not in DVC's cache; `dvc fetch --all-commits` may bring it"
                )
            return Before(json.loads(place.read_text(encoding="utf-8")), making.label)
    return None


def _makings(root: Path, stage: str) -> Iterator[Making]:
    """What passed before: what this checkout had last, the runs, newest first, and what was committed, newest first."""
    runs = graph.recorded(root, stage)
    if (root / LOCK).exists():
        for making in graph.locked((root / LOCK).read_text(encoding="utf-8")):
            yield next((run for run in runs if run.outputs == making.outputs), making)
    yield from runs
    for commit in reversed(list(past(root, LOCK))):
        yield from graph.locked(commit.text, commit)
