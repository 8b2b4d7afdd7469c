"""The script for a GPU runs on a CPU at small sizes: its lines have numbers, and its checks can fail."""

import re
import sys
import time

import pytest
import torch

from alignloop.core import devices, pass_limits, precision
from benchmarks import device, device_checks
from benchmarks.time_limit import BeyondLimit, limit, within


@pytest.fixture(autouse=True)
def limits():
    before = pass_limits.current()
    yield
    pass_limits.use(before)


def test_the_script_for_a_gpu_runs_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    sizes = {"layers": 2, "width": 64, "vocabulary": 512, "rows": 4, "length": 8, "passes": 64, "head": 16}
    sizes |= {"responses": 4, "limit": 60}
    options = [part for name, size in sizes.items() for part in (f"--{name}", str(size))]
    monkeypatch.setattr(sys, "argv", ["device", "--device", "cpu", *options])
    assert device.main() == 0
    assert devices.current().type == "cpu"
    assert precision.current() == "fp32"
    printed = capsys.readouterr().out
    speeds, phases, checks = (part.splitlines()[2:] for part in printed.split("\n\n")[1:])
    assert [line.split(" | ")[1] for line in speeds] == 2 * [
        "product of matrices, 512²",
        "decoding, 4 rows",
        "learner, passes of 64, head whole",
        "learner, passes of 64, head of 16",
    ]
    assert min(float(re.sub(r"[^\d.]", "", line.split(" | ")[2])) for line in speeds) > 0
    for line in speeds:
        if "learner" in line:
            assert float(line.split(" | ")[3]) > 0, "a share of the peak"
    named = {line.split(" | ")[1] for line in phases if line.startswith("| fp32")}
    assert named == {"decode", "learner", "reference", "scores", "values", "EMA", "rest", "whole"}
    assert [line.rpartition(" | ")[2] for line in checks] == [
        "weights up to 0.0e+00 apart |",
        "equal to the bit; without a deterministic kernel: none |",
        "equal to the bit |",
    ]


def test_a_check_that_fails_says_by_how_much(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    weights = iter([[torch.zeros(3)], [torch.full((3,), 0.5)]])
    monkeypatch.setattr(device_checks, "trained", lambda: next(weights))
    checks = {"PPO here and on the CPU": device_checks.agrees_with_cpu}
    monkeypatch.setattr(device_checks, "CHECKS", checks)
    assert not device_checks.run_checks(10)
    assert "**fails**: weights up to 5.0e-01 apart, and 0.0001 are allowed" in capsys.readouterr().out


def test_a_part_ends_at_its_limit():
    began = time.perf_counter()
    assert within(0.05, lambda: time.sleep(5)) == "not done in 0.05 s"
    assert time.perf_counter() - began < 4
    assert within(5, lambda: 3) == 3
    with pytest.raises(BeyondLimit), limit(0.01):
        time.sleep(5)
    time.sleep(0.02)  # no alarm is left
