"""The baseline of a drift report: the last version of other data that the same gate let pass."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from alignloop.errors import AlignloopError
from alignloop.lineage.graph import LOCK, Execution, locked_executions, tracked_executions
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.git import file_history


class MissingProfileError(AlignloopError):
    """There is a version before, but its profile is not in DVC's cache."""


class Baseline(NamedTuple):
    """The profiles of the version before, and a label of the execution that passed it."""

    profiles: Mapping[str, Any]
    label: str


def find_baseline(
    root: Path, stage: str, round: str | None, inputs: Mapping[str, str], profile: str
) -> Baseline | None:
    """Return the newest version of data other than `inputs` that the gate let pass with a `profile`, if any.

    Raises MissingProfileError if its profile is not in DVC's cache.
    """
    for execution in _executions(root, stage):
        data = ((path, hash) for path, hash in inputs.items() if path.startswith("data/"))
        is_other = any(execution.inputs.get(path, hash) != hash for path, hash in data)
        hash = execution.outputs.get(profile)
        if (execution.stage, execution.round) == (stage, round) and is_other and hash:
            place = dvc_pipeline.pipeline(root.resolve()).place(hash)
            if not place.exists():
                raise MissingProfileError(
                    f"{profile} {hash} ({execution.label}) is not in DVC's cache; "
                    "`dvc fetch --all-commits` may bring it"
                )
            return Baseline(json.loads(place.read_text(encoding="utf-8")), execution.label)
    return None


def _executions(root: Path, stage: str) -> Iterator[Execution]:
    """Yield earlier executions: that in dvc.lock, then MLflow's runs and the commits, each newest first."""
    tracked = tracked_executions(root, stage)
    if (root / LOCK).exists():
        for execution in locked_executions((root / LOCK).read_text(encoding="utf-8")):
            yield next((each for each in tracked if each.outputs == execution.outputs), execution)
    yield from tracked
    for commit in reversed(list(file_history(root, LOCK))):
        yield from locked_executions(commit.text, commit)
