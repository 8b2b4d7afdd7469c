"""The tasks that make the data sets."""

from collections.abc import Collection

from prefect import task

from tasks.dvc_stage import STAGE, Outcome, bring_up_to_date


@task(name="ingest", task_run_name="ingest", tags=["data"], timeout_seconds=4 * 3600, **STAGE)
def ingest(again: Collection[str] = ()) -> Outcome:
    """Bring every source into the record types."""
    return bring_up_to_date("ingest", again=again)


@task(
    name="validate_raw", task_run_name="validate · raw", tags=["data", "gate"], timeout_seconds=3600, **STAGE
)
def validate_raw(again: Collection[str] = ()) -> Outcome:
    """Refuse bad data before anything trains."""
    return bring_up_to_date("validate_raw", again=again)


@task(name="prepare", task_run_name="prepare", tags=["data"], timeout_seconds=4 * 3600, **STAGE)
def prepare(again: Collection[str] = ()) -> Outcome:
    """De-duplicate, redact, cap per user, split by user."""
    return bring_up_to_date("prepare", again=again)


@task(
    name="validate_sets",
    task_run_name="validate · sets",
    tags=["data", "gate"],
    timeout_seconds=3600,
    **STAGE,
)
def validate_sets(again: Collection[str] = ()) -> Outcome:
    """Refuse sets that share users or prompts, or hold personal data."""
    return bring_up_to_date("validate_sets", again=again)
