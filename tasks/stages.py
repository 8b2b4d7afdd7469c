"""The Prefect task of each stage of dvc.yaml."""

from collections.abc import Callable, Collection
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from tasks.stage_task import Outcome, bring_up_to_date, should_retry
from tasks.waiting_runs import waiting_state

HOUR, DAY = 3600, 24 * 3600
LABELERS, DECISION = "labelers", "a decision"


def stage_task(
    stage: str,
    run_name: str,
    description: str,
    *,
    tags: Collection[str],
    timeout_seconds: float,
    waits_for: str = "",
) -> Task[..., Any]:
    """Return the task of a stage: called with `(round, force)` if `run_name` has a round, else `(force)`.

    A stage that waits for people is shown as waiting for them, by the name in `waits_for`.
    """

    def finish(outcome: Outcome) -> Any:
        if outcome.status == "waits":
            return waiting_state(outcome.message, waits_for, outcome)
        return outcome

    def run(force: Collection[str] = ()) -> Outcome:
        return finish(bring_up_to_date(stage, force=force))

    def run_round(round: str, force: Collection[str] = ()) -> Outcome:
        return finish(bring_up_to_date(stage, round, force=force))

    function: Callable[..., Outcome] = run_round if "{round}" in run_name else run
    function.__name__ = function.__qualname__ = stage  # Prefect identifies a task by its function's name
    return task(
        name=stage,
        description=description,
        tags=tags,
        task_run_name=run_name,
        timeout_seconds=timeout_seconds,
        retries=2,
        retry_delay_seconds=[5, 60],
        retry_condition_fn=should_retry,
        cache_policy=NO_CACHE,  # DVC is the cache
        persist_result=False,
    )(function)


distill = stage_task(
    "distill",
    "teacher · {round}",
    "Let a teacher write a source.",
    tags=["data"],
    timeout_seconds=7 * DAY,
)
ingest = stage_task(
    "ingest",
    "ingest",
    "Bring every source into the record types.",
    tags=["data"],
    timeout_seconds=4 * HOUR,
)
validate_raw = stage_task(
    "validate_raw",
    "validate · raw",
    "Refuse bad data before anything trains.",
    tags=["data", "gate"],
    timeout_seconds=HOUR,
)
prepare = stage_task(
    "prepare",
    "prepare",
    "De-duplicate, redact, cap per user, split by user.",
    tags=["data"],
    timeout_seconds=4 * HOUR,
)
validate_sets = stage_task(
    "validate_sets",
    "validate · sets",
    "Refuse sets that share users or prompts, or hold personal data.",
    tags=["data", "gate"],
    timeout_seconds=HOUR,
)
search_index = stage_task(
    "search_index",
    "search index · {round}",
    "Make a collection of documents searchable.",
    tags=["data"],
    timeout_seconds=4 * HOUR,
)
pretrain = stage_task(
    "pretrain",
    "base model",
    "Make a base model, or take a checkpoint.",
    tags=["train"],
    timeout_seconds=7 * DAY,
)
sft = stage_task(
    "sft",
    "supervised fine-tuning",
    "Fine-tune on the labelers' demonstrations.",
    tags=["train"],
    timeout_seconds=3 * DAY,
)
sample = stage_task(
    "sample",
    "sample · {round}",
    "Draw K responses per prompt from the newest policy.",
    tags=["decode"],
    timeout_seconds=DAY,
)
label = stage_task(
    "label",
    "label · {round}",
    "Have labelers rank the K responses.",
    tags=["people"],
    timeout_seconds=30 * DAY,
    waits_for=LABELERS,
)
validate_rankings = stage_task(
    "validate_rankings",
    "validate · rankings {round}",
    "Refuse broken rankings before the reward model learns from them.",
    tags=["data", "gate"],
    timeout_seconds=HOUR,
)
reward = stage_task(
    "reward",
    "reward model · {round}",
    "Learn what the labelers prefer.",
    tags=["train"],
    timeout_seconds=3 * DAY,
)
ppo = stage_task(
    "ppo",
    "PPO · {round}",
    "Raise the score, stay near SFT, keep the language.",
    tags=["train"],
    timeout_seconds=7 * DAY,
)
evaluate = stage_task(
    "evaluate",
    "evaluate · {round}",
    "Measure wins, behaviours, diversity and the alignment tax on users never trained on.",
    tags=["decode"],
    timeout_seconds=DAY,
)
release = stage_task(
    "release",
    "release",
    "Hold the last policy against the champion, register it with its parents, and hand it to review.",
    tags=["registry"],
    timeout_seconds=HOUR,
    waits_for=DECISION,
)
