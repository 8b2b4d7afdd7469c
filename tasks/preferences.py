"""The tasks of a round that learn what labelers prefer."""

from collections.abc import Collection

from prefect import task

from tasks.dvc_stage import STAGE, Outcome, bring_up_to_date, shown


@task(name="sample", task_run_name="sample · {round}", tags=["decode"], timeout_seconds=24 * 3600, **STAGE)
def sample(round: str, again: Collection[str] = ()) -> Outcome:
    """Draw K answers per prompt from the newest policy."""
    return bring_up_to_date("sample", round, again)


@task(name="label", task_run_name="label · {round}", tags=["people"], timeout_seconds=30 * 24 * 3600, **STAGE)
def label(round: str, again: Collection[str] = ()) -> Outcome:
    """Have labelers rank the K answers."""
    return shown(bring_up_to_date("label", round, again))


@task(
    name="validate_rankings",
    task_run_name="validate · rankings {round}",
    tags=["data", "gate"],
    timeout_seconds=3600,
    **STAGE,
)
def validate_rankings(round: str, again: Collection[str] = ()) -> Outcome:
    """Refuse broken rankings before the reward model learns from them."""
    return bring_up_to_date("validate_rankings", round, again)


@task(
    name="reward",
    task_run_name="reward model · {round}",
    tags=["train"],
    timeout_seconds=3 * 24 * 3600,
    **STAGE,
)
def reward(round: str, again: Collection[str] = ()) -> Outcome:
    """Learn what the labelers prefer."""
    return bring_up_to_date("reward", round, again)
