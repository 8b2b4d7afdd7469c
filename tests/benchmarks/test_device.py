"""The script for a GPU runs on a CPU at small sizes, and its lines have numbers."""

import re
import sys

import pytest

from alignloop.core import devices, pass_limits, precision
from benchmarks import device


def test_the_script_for_a_gpu_runs_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    sizes = {"layers": 2, "width": 64, "vocabulary": 512, "rows": 4, "length": 8, "passes": 64, "head": 16}
    options = [part for name, size in sizes.items() for part in (f"--{name}", str(size))]
    monkeypatch.setattr(sys, "argv", ["device", "--device", "cpu", *options])
    before = pass_limits.current()
    try:
        device.main()
    finally:
        pass_limits.use(before)
    assert devices.current().type == "cpu"
    assert precision.current() == "fp32"
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| fp32", "| bf16"))]
    assert [line.split(" | ")[1].split(",")[0] for line in lines] == 2 * [
        "product of matrices",
        "decoding",
        "learner",
    ]
    speeds = [float(re.sub(r"[^\d.]", "", line.split(" | ")[2])) for line in lines]
    assert min(speeds) > 0
    for line in (lines[2], lines[5]):
        assert float(line.split(" | ")[3]) > 0, "a share of the peak"
