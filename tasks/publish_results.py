"""What is shown of the whole run: the results and the verdict, and whether the champion is who was decided on."""

import json
import os
from hashlib import blake2b
from pathlib import Path

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from alignloop.evaluation.results_table import tables
from alignloop.files import replacing
from alignloop.params import load
from alignloop.pipeline.environment import STORE
from alignloop.release import decision_log
from alignloop.release.gates import told
from tasks.dvc_stage import slowly_imported

AGREED = Path(".cache", "champion-agreed")  # the stamp of what was looked at last and found right


def results(root: Path) -> str:
    """The results of all rounds and the verdict in Markdown, from the numbers that `release` gathered."""
    numbers = json.loads((root / "metrics" / "release.json").read_text(encoding="utf-8"))
    return f"{tables(numbers)}\n{told(numbers['verdict'])}"


@task(name="results", task_run_name="results", cache_policy=NO_CACHE, persist_result=False)
def publish() -> None:
    """Show results and verdict with the run."""
    create_markdown_artifact(
        results(Path.cwd()),
        key="results",
        description="base, SFT and every round's policy side by side, and the verdict",
    )


@task(name="champion", task_run_name="champion", cache_policy=NO_CACHE, persist_result=False)
def check_champion() -> None:
    """Report aliases that were moved past the log of decisions, by hand in MLflow's pages for one."""
    root = Path.cwd()
    if not (root / STORE).exists() and not (root / decision_log.LOG).exists():
        return
    now, note = _stamp(root), root / AGREED
    if now and note.exists() and note.read_text(encoding="utf-8") == now:
        return  # without MLflow, whose import alone takes seconds
    note.unlink(missing_ok=True)
    champion = slowly_imported("alignloop.release.champion")
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
    elif now:
        with replacing(note) as part:
            part.write_text(now, encoding="utf-8")


def _stamp(root: Path) -> str:
    """What tells that neither the registry nor the decisions were touched since; nothing where the registry is a server's."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return ""
    texts = [
        path.read_text(encoding="utf-8") if (path := root / place).exists() else ""
        for place in (decision_log.LOG, decision_log.STATE, "params.yaml")
    ]
    found = (root / STORE).stat() if (root / STORE).exists() else None
    return blake2b(
        json.dumps([texts, found and [found.st_mtime_ns, found.st_size]]).encode(), digest_size=16
    ).hexdigest()
