"""A stage ends with the most memory that it held, beside what was estimated before it began."""

import re
from pathlib import Path

import torch

from alignloop import tracking
from alignloop.tracking import stage_summary


def test_the_peak_is_logged_and_said_beside_the_estimate(project: Path) -> None:
    held = torch.ones(25_000_000)  # 100 MB
    with tracking.run(project, "sft") as run:
        line = stage_summary.memory(run, 3, 1_250_000_000)
        assert stage_summary.memory(run, 3, None) == "", "a stage without a model has no estimate"
    assert re.fullmatch(r"memory: [\d.]+ (MB|GB) at most, 1\.2 GB estimated", line)
    metrics = tracking.client(tracking.store_uri(project)).get_run(run.id).data.metrics
    assert metrics["memory/estimated_gb"] == 1.25
    assert 4 * held.numel() / 1e9 < metrics["memory/peak_gb"] < 20
