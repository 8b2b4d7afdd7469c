"""Publish the results and the verdict of a run, and warn if aliases differ from the log of decisions."""

import json
import os
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from alignloop.evaluation.data_size import size_section
from alignloop.evaluation.results_table import tables
from alignloop.files import replacing
from alignloop.params import load
from alignloop.pipeline.environment import MLFLOW_DATABASE
from alignloop.release import decision_log, results_page
from alignloop.release.gates import render_verdict
from alignloop.release.ledger_table import written_ledgers
from tasks.stage_task import MLFLOW_IMPORT, Outcome

# the fingerprint of the state that was checked last and was in order
CHECKED = Path(".cache", "champion-agreed")
REMEDY = (
    "`python -m alignloop review restore --name YOU --reason WHY` puts them back; "
    "`review approve` makes a model the champion"
)


def results(root: Path) -> str:
    """Return the results of all rounds, the verdict and the ledger in Markdown, from what was written."""
    report = json.loads((root / "metrics" / "release.json").read_text(encoding="utf-8"))
    parts = (
        tables(report),
        render_verdict(report["verdict"]),
        size_section(report.get("data", {})),
        written_ledgers(root, report["rankings_by"]),
    )
    return "\n".join(part for part in parts if part)


@task(name="results", task_run_name="results", cache_policy=NO_CACHE, persist_result=False)
def publish() -> None:
    """Show results and verdict with the run."""
    create_markdown_artifact(
        results(Path.cwd()),
        key="results",
        description="base, SFT and every round's policy side by side, and the verdict",
    )


def write_results_page(root: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the results page where `evaluate` or `release`, which write it if they run, were restored."""
    if any(outcome.status == "restored" for outcome in outcomes) or not (root / results_page.PAGE).exists():
        results_page.write_page(root)


@task(name="champion", task_run_name="champion", cache_policy=NO_CACHE, persist_result=False)
def check_champion() -> None:
    """Report aliases that were moved past the log of decisions, by hand in MLflow's pages for one."""
    root = Path.cwd()
    if not (root / MLFLOW_DATABASE).exists() and not (root / decision_log.LOG).exists():
        return
    fingerprint, checked = _fingerprint(root), root / CHECKED
    if fingerprint and checked.exists() and checked.read_text(encoding="utf-8") == fingerprint:
        return  # without the import of MLflow, which takes seconds
    checked.unlink(missing_ok=True)
    with MLFLOW_IMPORT:
        from alignloop.release import champion

    name = f"{load(root / 'params.yaml').release.registry}-policy"
    if changes := champion.unlogged_changes(root, name):
        text = "\n".join([*changes, REMEDY])
        get_run_logger().warning("%s", text)
        create_markdown_artifact(text, key="champion", description="Aliases that differ from the decisions")
    elif fingerprint:
        with replacing(checked) as part:
            part.write_text(fingerprint, encoding="utf-8")


def _fingerprint(root: Path) -> str:
    """Return a hash of the registry's and the decisions' state; "" where the registry is on a server."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return ""
    texts = [
        path.read_text(encoding="utf-8") if (path := root / place).exists() else ""
        for place in (decision_log.LOG, decision_log.STATE, "params.yaml")
    ]
    database = (root / MLFLOW_DATABASE).stat() if (root / MLFLOW_DATABASE).exists() else None
    state = [texts, database and [database.st_mtime_ns, database.st_size]]
    return blake2b(json.dumps(state).encode(), digest_size=16).hexdigest()
