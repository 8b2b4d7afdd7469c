"""What a stage consumes is metered, over interruptions, and summed from its MLflow run."""

import time
from contextlib import suppress
from pathlib import Path

import pytest

from alignloop import tracking
from alignloop.inference import usage
from alignloop.tracking.consumption import consumed, metered


def busy(seconds: float) -> None:
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


def test_what_both_processes_of_a_resumed_run_consumed_is_summed(project: Path) -> None:
    with (
        suppress(ZeroDivisionError),
        tracking.run(project, "label", "r1", fingerprint="f") as run,
        metered(run, 2),
    ):
        busy(0.05)
        usage.count_call()
        usage.count_tokens({"usage": {"prompt_tokens": 11, "completion_tokens": 7}})
        raise ZeroDivisionError
    with tracking.run(project, "label", "r1", fingerprint="f") as again, metered(again, 2) as meter:
        assert again.id == run.id
        busy(0.05)
        usage.count_call()
        usage.count_tokens({"usage": None})  # a server that states none
        meter.rest()
        again.flush()
        so_far = consumed(project, again.id)
        usage.count_call()
    found = consumed(project, run.id)
    assert (found["calls"], found["prompt_tokens"], found["completion_tokens"]) == (3, 11, 7)
    assert so_far["calls"] == 2
    assert 0.19 <= found["cpu_seconds"] < 5  # 0.05 s twice, of two processes alike
    assert found["process_seconds"] >= 0.19
    assert "gpu_seconds" not in found


def test_a_run_that_was_not_metered_has_consumed_nothing_that_is_known(project: Path) -> None:
    with tracking.run(project, "sft") as run:
        run.log(0, {"sft/loss": 1.0})
    assert consumed(project, run.id) == {}


def test_models_on_a_gpu_are_metered_by_the_time_of_their_processes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from alignloop.core import devices

    monkeypatch.setattr(devices, "_device", torch.device("cuda"))
    with tracking.run(project, "ppo", "r1") as run, metered(run, 4):
        time.sleep(0.01)
    found = consumed(project, run.id)
    assert found["gpu_seconds"] == pytest.approx(found["process_seconds"])
    assert found["gpu_seconds"] >= 0.04
