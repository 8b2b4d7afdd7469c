"""The tasks that make the language models before any preference is known."""

from collections.abc import Collection

from prefect import task

from tasks.dvc_stage import STAGE, Outcome, bring_up_to_date


@task(name="pretrain", task_run_name="base model", tags=["train"], timeout_seconds=7 * 24 * 3600, **STAGE)
def pretrain(again: Collection[str] = ()) -> Outcome:
    """Make a base model, or take a checkpoint."""
    return bring_up_to_date("pretrain", again=again)


@task(
    name="sft", task_run_name="supervised fine-tuning", tags=["train"], timeout_seconds=3 * 24 * 3600, **STAGE
)
def sft(again: Collection[str] = ()) -> Outcome:
    """Imitate the labelers' answers."""
    return bring_up_to_date("sft", again=again)
