"""The task that makes a run part of history: its bytes go to DVC's remote, and only then a commit names them."""

import json
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from alignloop.data.set_statistics import size_of
from alignloop.evaluation.results_table import gather
from alignloop.pace import paced
from alignloop.pipeline import dvc_pipeline, run_commits
from alignloop.pipeline.git import revision
from alignloop.pipeline.run_commits import Recorded
from alignloop.progress import Progress
from tasks.plan import Plan
from tasks.publish_results import results

SETS = {"prompts": "prompts", "demonstrations": "demonstrations", "corpus": "documents"}
MEGABYTE = 1_000_000
NO_REMOTE = (
    "not recorded: DVC has no default remote, and a commit would name bytes that only this machine has;"
    " `dvc remote add --default NAME URL`, then run again: nothing but the recording will be left to do"
)


@task(name="record", task_run_name="record", tags=["record"], cache_policy=NO_CACHE, persist_result=False)
def record(plan: Plan, branch: str) -> Recorded | None:
    """Push what the run has made, commit dvc.lock and what goes with it to the branch, and tag the version of the data."""
    log, pipeline = get_run_logger(), dvc_pipeline.pipeline(Path.cwd())
    if not pipeline.remote():
        log.warning(NO_REMOTE)
        create_markdown_artifact(NO_REMOTE, key="recorded", description="What was recorded of this run")
        return None
    sent = (Progress(done // MEGABYTE, total // MEGABYTE) for done, total in pipeline.push())
    for _ in paced(sent, f"push to {pipeline.remote()}, MB", log.info):
        pass
    done = run_commits.record(pipeline.root, branch, message(pipeline.root, plan, pipeline.remote()))
    words = f"{'recorded' if done.new else 'nothing new: recorded already'} as {done.tag} (commit {done.commit[:10]} on {branch})"
    log.info(words)
    create_markdown_artifact(
        f"{words}\n\n`git checkout {done.tag} && dvc pull`",
        key="recorded",
        description="What was recorded of this run",
    )
    return done


def message(root: Path, plan: Plan, remote: str | None) -> str:
    """The commit's message: what came out in one line, the tables of a whole run, and where all of it is."""
    parts = [_subject(root, plan)]
    if plan.complete:
        parts.append(results(root).strip())
    told = {"Code": revision(root)[0], "Bytes": remote, "Flow-Run": flow_run.get_name()}
    return (
        "\n\n".join([*parts, "\n".join(f"{name}: {value}" for name, value in told.items() if value)]) + "\n"
    )


def _subject(root: Path, plan: Plan) -> str:
    if not plan.rounds:
        counts = {what: size_of(root / "data" / name)["records"] for name, what in SETS.items()}
        return f"data: {', '.join(f'{count:,} {what}' for what, count in counts.items())}"
    last = plan.rounds[-1]
    row = gather({last: _read(root / "metrics" / "rounds" / last / "evaluate.json")})["rows"][last]
    wins = row["win_rate_vs_sft"]
    gold = "" if row["gold"] is None else f", gold {row['gold']:.3f}"
    return f"{last}: wins {wins['rate']:.3f} [{wins['low']:.3f}, {wins['high']:.3f}] against SFT{gold}, KL {row['kl_to_sft_nats']:.2f}"


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
