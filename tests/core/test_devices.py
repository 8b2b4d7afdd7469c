"""Devices: a second one in a process of its own, the draw of a GPU, and what is said where there is none."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from alignloop.core import devices
from alignloop.core.generate import _draw, _draw_by_blocks
from alignloop.errors import AlignloopError

CHECKS = Path(__file__).with_name("device_checks.py")


def test_models_on_a_second_device_learn_and_draw_the_same() -> None:
    count = CHECKS.read_text().count("\ndef test_")
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-v", str(CHECKS)]
    done = subprocess.run(command, cwd=CHECKS.parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:]
    [passed] = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) >= count > 0
    assert "skipped" not in done.stdout


def test_a_draw_by_blocks_is_the_draw_by_cumulative_sums() -> None:
    generator = torch.Generator().manual_seed(0)
    for vocabulary in (2, 255, 256, 257, 1000):
        logits = 3 * torch.randn(64, vocabulary, generator=generator)
        logits[torch.rand(64, vocabulary, generator=generator) < 0.5] = float("-inf")
        logits[:, vocabulary // 2] = 0.0
        logprobs = torch.log_softmax(logits, -1)
        uniform = torch.rand(64, generator=generator, dtype=torch.float64)
        uniform[:2] = torch.tensor([0.0, 1 - 2**-53])
        drawn = _draw_by_blocks(logprobs, uniform)
        assert torch.equal(drawn, _draw(logprobs, uniform))
        assert torch.isfinite(logprobs.gather(1, drawn[:, None])).all(), "what is not allowed is never drawn"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_device_that_is_not_there_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        AlignloopError, match=r"compute.device: cuda, but PyTorch .* set compute.device: auto"
    ):
        devices.use("cuda")
    assert devices.current() == torch.device("cpu")


def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, wanted in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert devices.find("auto").type == wanted
