"""The task `record`: push a run's bytes to DVC's remote, and then commit the files that name them."""

import json
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from alignloop.data.set_statistics import size_of
from alignloop.evaluation.results_table import gather, with_interval
from alignloop.pipeline import dvc_pipeline, run_commits
from alignloop.pipeline.git import revision
from alignloop.pipeline.run_commits import RunCommit
from alignloop.progress import Progress, paced
from tasks.plan import Plan
from tasks.publish_results import results

SETS = {"prompts": "prompts", "demonstrations": "demonstrations", "corpus": "documents"}
MEGABYTE = 1_000_000
NO_REMOTE = (
    "not recorded: DVC has no default remote, and a commit would name bytes that only this machine has; "
    "`dvc remote add --default NAME URL`, then run again: only the recording will be left to do"
)


@task(name="record", task_run_name="record", tags=["record"], cache_policy=NO_CACHE, persist_result=False)
def record(plan: Plan, branch: str) -> RunCommit | None:
    """Push the run's outputs, commit dvc.lock and metrics to the branch, and tag the data's version."""
    log, pipeline = get_run_logger(), dvc_pipeline.pipeline(Path.cwd())
    artifact = {"key": "recorded", "description": "What was recorded of this run"}
    if not pipeline.remote():
        log.warning(NO_REMOTE)
        create_markdown_artifact(NO_REMOTE, **artifact)
        return None
    sent = (Progress(done // MEGABYTE, total // MEGABYTE) for done, total in pipeline.push())
    for _ in paced(sent, f"push to {pipeline.remote()}, MB", log.info):
        pass
    message = commit_message(pipeline.root, plan, pipeline.remote())
    commit = run_commits.commit_run(pipeline.root, branch, message)
    status = "recorded" if commit.is_new else "nothing new: recorded already"
    text = f"{status} as {commit.tag} (commit {commit.commit[:10]} on {branch})"
    log.info(text)
    create_markdown_artifact(f"{text}\n\n`git checkout {commit.tag} && dvc pull`", **artifact)
    return commit


def commit_message(root: Path, plan: Plan, remote: str | None) -> str:
    """Return the commit's message: the result in one line, the tables of a whole run, and trailers."""
    parts = [_subject(root, plan)]
    if plan.is_complete:
        parts.append(results(root).strip())
    trailers = {"Code": revision(root)[0], "Bytes": remote, "Flow-Run": flow_run.get_name()}
    parts.append("\n".join(f"{name}: {value}" for name, value in trailers.items() if value))
    return "\n\n".join(parts) + "\n"


def _subject(root: Path, plan: Plan) -> str:
    if not plan.rounds:
        counts = {what: size_of(root / "data" / name)["records"] for name, what in SETS.items()}
        return f"data: {', '.join(f'{count:,} {what}' for what, count in counts.items())}"
    last = plan.rounds[-1]
    row = gather({last: _read(root / "metrics" / "rounds" / last / "evaluate.json")}, {})["rows"][last]
    wins = f"wins {with_interval(row['win_rate_vs_sft'])} against SFT"
    gold = "" if row["gold"] is None else f", gold {row['gold']:.3f}"
    return f"{last}: {wins}{gold}, KL {row['kl_to_sft_nats']:.2f}"


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
