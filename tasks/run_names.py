"""The names of flow runs on Prefect's pages: what runs, with which seed, at which commit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.runtime import flow_run

from alignloop.errors import AlignloopError
from alignloop.params import Params
from alignloop.pipeline.git import revision
from alignloop.pipeline.loop import loop_title
from alignloop.pipeline.overrides import preview
from tasks.plan import next_round


def run_name() -> str:
    """Return the name of the present run of the flow: `loop r1–r3 · seed 1 · 2e77aad`.

    Where its parameters are wrong, the plan says so; the name is then `loop`.
    """
    parameters, root = flow_run.parameters, Path.cwd()
    try:
        params, commit = _params(root, parameters), revision(root)[0]
    except AlignloopError:
        return "loop"
    if parameters.get("data_only"):
        return loop_title([], params.seed, commit, "data")
    return loop_title(parameters.get("rounds") or list(params.rounds), params.seed, commit)


def _params(root: Path, parameters: Mapping[str, Any]) -> Params:
    """Return the parameters that the plan will write."""
    overrides = parameters.get("overrides") or {}
    if parameters.get("new_round") or parameters.get("feedback"):
        overrides = {**next_round(root), **overrides}
    file = parameters.get("with_file")
    return preview(root / "params.yaml", Path(file) if file else None, overrides)
