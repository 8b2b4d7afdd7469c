"""The tasks that make, measure and hand over policies."""

from collections.abc import Collection

from prefect import task

from tasks.dvc_stage import STAGE, Outcome, bring_up_to_date, shown


@task(name="ppo", task_run_name="PPO · {round}", tags=["train"], timeout_seconds=7 * 24 * 3600, **STAGE)
def ppo(round: str, again: Collection[str] = ()) -> Outcome:
    """Raise the score, stay near SFT, keep the language."""
    return bring_up_to_date("ppo", round, again)


@task(
    name="evaluate", task_run_name="evaluate · {round}", tags=["decode"], timeout_seconds=24 * 3600, **STAGE
)
def evaluate(round: str, again: Collection[str] = ()) -> Outcome:
    """Measure wins, behaviours, diversity and the alignment tax on users never trained on."""
    return bring_up_to_date("evaluate", round, again)


@task(name="release", task_run_name="release", tags=["registry"], timeout_seconds=3600, **STAGE)
def release(again: Collection[str] = ()) -> Outcome:
    """Hold the last policy against the champion, register it with its parents, and hand it to review."""
    return shown(bring_up_to_date("release", again=again))
