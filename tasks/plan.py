"""The task that turns what a run is asked for into the files that DVC reads, and into what the flow has to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from alignloop.io import versioning
from alignloop.io.overrides import override
from alignloop.io.sources import place
from alignloop.params import ParamsError, load
from tasks.stage import warm_up


@dataclass(frozen=True)
class Plan:
    """Which rounds to walk, whether they are all there are, and which stages to run even where nothing changed."""

    rounds: list[str]
    complete: bool
    again: list[str]


@task(name="plan", task_run_name="plan", cache_policy=NO_CACHE, persist_result=False)
def make_plan(
    with_file: Path | None, overrides: Mapping[str, Any], sources: Sequence[Path], start_from: str | None, rounds: Sequence[str] | None
) -> Plan:
    """Write overrides into params.yaml and sources into data/sources; refuse what does not fit before anything runs."""
    log, root = get_run_logger(), Path.cwd()
    for key, (before, after) in override(root / "params.yaml", with_file, overrides).items():
        log.info("params.yaml: %s: %s → %s", key, before, after)
    if sources:
        log.info("data/sources: %s", ", ".join(place(sources, root / "data" / "sources", root / ".cache" / "sources.json")))
    known, pipeline = list(load(root / "params.yaml").rounds), versioning.pipeline(root)
    if unknown := sorted(set(rounds or []) - set(known)):
        raise ParamsError(f"--rounds {' '.join(unknown)}: params.yaml has no such round; it has {', '.join(known)}")
    again = sorted(pipeline.downstream(start_from)) if start_from else []
    if start_from and not again:
        raise ParamsError(f"--from {start_from}: dvc.yaml has no such stage; it has {', '.join(pipeline.stages())}")
    warm_up(pipeline.stages()[name] for name in {*pipeline.outdated(), *again})
    walked = [round for round in known if rounds is None or round in rounds]
    return Plan(walked, walked == known, again)
