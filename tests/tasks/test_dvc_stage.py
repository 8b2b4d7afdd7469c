"""How a stage's task tells of a failure, what it tries again, and under which key its artifact is found."""

from prefect.client.schemas.objects import State

from alignloop.params import ParamsError
from tasks.dvc_stage import StageFailed, failure, key_of
from tasks.policies import ppo
from tasks.preferences import sample
from tasks.stages import ingest, prepare


def test_a_failure_is_told_in_the_stages_own_words() -> None:
    noise = ["UserWarning: old", "reward: data/x.jsonl:2: ranks: wrong", "reward: second line"]
    assert failure("reward@r1", noise[:2], 1) == "reward@r1: data/x.jsonl:2: ranks: wrong"
    assert failure("sft", ["sft: two", "lines"], 1) == "sft: two\nlines"
    assert (
        failure("sft", ["Traceback", "ValueError: x"], 1)
        == "sft: ValueError: x (the lines before it are in the log)"
    )
    assert failure("sft", [], 3) == "sft: its command ended with exit code 3 and said nothing"
    assert failure("sft", [], -9).startswith(
        "sft: its process was ended by SIGKILL; most often the system ran out of memory"
    )


def test_only_what_may_pass_is_tried_again() -> None:
    for task in (ingest, prepare, sample, ppo):
        condition = task.retry_condition_fn
        assert condition is not None
        outcomes = {
            StageFailed("killed", -9): True,
            StageFailed("bad data", 1): False,
            ParamsError("bad"): False,
        }
        for error, again in outcomes.items():
            state = State.model_validate({"type": "FAILED", "data": error})
            assert condition(task, None, state) is again  # pyright: ignore[reportArgumentType]


def test_artifact_keys_are_what_prefect_takes() -> None:
    assert key_of("validate_rankings@Run 2") == "validate-rankings-run-2"
