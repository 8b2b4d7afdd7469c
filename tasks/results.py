"""The artifact of the whole run: the results table."""

import json
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from alignloop.stages.results import tables


def results(root: Path) -> str:
    """The results of all rounds in Markdown, from the numbers that `release` gathered."""
    return tables(json.loads((root / "metrics" / "release.json").read_text(encoding="utf-8")))


@task(name="results", task_run_name="results", cache_policy=NO_CACHE, persist_result=False)
def publish() -> None:
    """Show the results table with the run."""
    create_markdown_artifact(results(Path.cwd()), key="results", description="base, SFT and every round's policy, side by side")
