"""What is shown of the whole run: the results and the verdict, and whether the champion is who was decided on."""

import json
from pathlib import Path

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from alignloop.io import audit
from alignloop.params import load
from alignloop.stages.gates import told
from alignloop.stages.results import tables
from tasks.stage import slowly_imported


def results(root: Path) -> str:
    """The results of all rounds and the verdict in Markdown, from the numbers that `release` gathered."""
    numbers = json.loads((root / "metrics" / "release.json").read_text(encoding="utf-8"))
    return f"{tables(numbers)}\n{told(numbers['verdict'])}"


@task(name="results", task_run_name="results", cache_policy=NO_CACHE, persist_result=False)
def publish() -> None:
    """Show results and verdict with the run."""
    create_markdown_artifact(
        results(Path.cwd()), key="results", description="base, SFT and every round's policy side by side, and the verdict"
    )


@task(name="champion", task_run_name="champion", cache_policy=NO_CACHE, persist_result=False)
def check_champion() -> None:
    """Report aliases that were moved past the log of decisions, by hand in MLflow's pages for one."""
    root = Path.cwd()
    if not (root / "mlruns" / "mlflow.db").exists() and not (root / audit.LOG).exists():
        return
    champion = slowly_imported("alignloop.io.champion")
    name = f"{load(root / 'params.yaml').release.registry}-policy"
    if found := champion.drift(root, name):
        text = "\n".join(
            [
                *found,
                "`python -m alignloop review restore --name YOU --reason WHY` puts them back; `review approve` makes a model the champion",
            ]
        )
        get_run_logger().warning("%s", text)
        create_markdown_artifact(text, key="champion", description="Aliases that nobody decided on")
