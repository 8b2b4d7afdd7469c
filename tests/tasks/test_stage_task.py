"""A stage's task: the message of a failure, the condition of a retry, and the key of its artifact."""

from typing import Any

from prefect.client.schemas.objects import State

from alignloop.params import ParamsError
from tasks.stage_task import StageFailed, artifact_key, failure_message
from tasks.stages import ingest, ppo, prepare, sample


def test_a_failure_has_the_stages_own_message() -> None:
    noise = ["UserWarning: old", "reward: data/x.jsonl:2: ranks: wrong", "reward: second line"]
    assert failure_message("reward@r1", noise[:2], 1) == "reward@r1: data/x.jsonl:2: ranks: wrong"
    assert failure_message("sft", ["sft: two", "lines"], 1) == "sft: two\nlines"
    assert (
        failure_message("sft", ["Traceback", "ValueError: x"], 1)
        == "sft: ValueError: x (the lines before it are in the log)"
    )
    assert failure_message("sft", [], 3) == "sft: its command ended with exit code 3 and printed nothing"
    assert failure_message("sft", [], -9).startswith(
        "sft: its process was ended by SIGKILL; most often the system ran out of memory"
    )


def test_only_a_killed_process_is_retried() -> None:
    def failed(error: Exception) -> State:
        return State.model_validate({"type": "FAILED", "data": error})

    run: Any = None
    for task in (ingest, prepare, sample, ppo):
        condition: Any = task.retry_condition_fn
        assert condition(task, run, failed(StageFailed("killed", -9)))
        assert not condition(task, run, failed(StageFailed("bad data", 1)))
        assert not condition(task, run, failed(ParamsError("bad")))


def test_artifact_keys_are_valid_for_prefect() -> None:
    assert artifact_key("validate_rankings@Run 2") == "validate-rankings-run-2"
