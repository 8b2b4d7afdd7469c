"""Work that waits for a processor would be done sooner on idle cores; work that sleeps would not."""

import os
import subprocess
import sys
import time

import pytest

from alignloop.checks import processor_time
from alignloop.checks.processor_time import BUSY, spent


def burn(seconds: float) -> None:
    """Use so many seconds of a processor."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


@pytest.mark.skipif(not processor_time.THREADS.is_dir(), reason="nobody counts here how long a thread waited")
def test_other_processes_make_work_slower_than_on_idle_cores() -> None:
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(3 * len(os.sched_getaffinity(0)))
    ]
    try:
        took = spent(lambda: burn(0.3))
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert took.cpu == pytest.approx(0.3, abs=0.05)
    assert took.idle == pytest.approx(0.3, rel=0.5)
    assert took.wall > BUSY * took.idle


@pytest.mark.parametrize(
    ("waited", "idle"), [(0.04, 0.06), (0.5, 0.04)], ids=["undisturbed: by the clock", "the busiest thread's"]
)
def test_threads_that_run_side_by_side_take_as_long_as_the_busiest(
    waited: float, idle: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = iter([{"1": (1.0, 5.0)}, {"1": (1.03, 5.0 + waited / 10), "2": (0.04, 0.0)}])
    monkeypatch.setattr(processor_time, "_threads", lambda: next(seen))
    assert spent(lambda: time.sleep(0.06)).idle == pytest.approx(idle, rel=0.1), "sleeping is no waiting"


def test_where_nobody_counts_the_clock_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_time, "_threads", dict)
    took = spent(lambda: time.sleep(0.01))
    assert took.idle == took.wall
