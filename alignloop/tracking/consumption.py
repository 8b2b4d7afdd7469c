"""What a stage consumes, in its MLflow run: CPU and GPU time, and requests to models behind endpoints.

Each point is what was consumed since the point before, so the sum over a run's history is the run's, of all
its processes if it was interrupted and resumed; a process that is killed loses at most the last interval.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from alignloop.inference import usage
from alignloop.tracking.active_run import ActiveRun
from alignloop.tracking.mlflow_store import client, store_errors, store_uri
from alignloop.tracking.system_metrics import SystemMonitor

PREFIX = "cost/"


class Meter:
    """Logs what this process consumes; of `processes` alike, this one stands for all."""

    def __init__(self, active: ActiveRun, processes: int) -> None:
        self._active, self._processes = active, processes
        self._machine, self._last = SystemMonitor(), self._totals()
        self._moment = 0  # of the last point, in milliseconds

    def look(self) -> None:
        """Log the machine's readings and what was consumed, if the interval between two looks is over."""
        if readings := self._machine.readings():
            self._log(readings)

    def rest(self) -> None:
        """Log what was consumed since the last look."""
        self._log({})

    def _log(self, readings: Mapping[str, float]) -> None:
        now = self._totals()
        grown = {name: value - self._last[name] for name, value in now.items()}
        grown["gpu_seconds"] = grown["process_seconds"] if _on_gpu() else 0.0
        self._last = now
        costs = {f"{PREFIX}{name}": value for name, value in grown.items() if value}
        # by the clock, not by step: a resumed stage repeats some of its steps, and of a step known already
        # no second point is kept
        self._active.log(int(time.time()), readings)
        self._moment = max(self._moment + 1, time.time_ns() // 1_000_000)
        self._active.log(self._moment, costs)

    def _totals(self) -> dict[str, float]:
        wall, cpu = time.monotonic() * self._processes, sum(os.times()[:4]) * self._processes
        return {"process_seconds": wall, "cpu_seconds": cpu, **usage.so_far()}


@contextmanager
def metered(active: ActiveRun, processes: int) -> Iterator[Meter]:
    """A meter whose rest is logged at the end, whatever ends the block."""
    meter = Meter(active, processes)
    try:
        yield meter
    finally:
        meter.rest()


def consumed(root: Path, run: str) -> dict[str, float]:
    """What a run has consumed, by name without the prefix; empty for a run that was not metered."""
    uri = store_uri(root)
    with store_errors(uri):
        names = [name for name in client(uri).get_run(run).data.metrics if name.startswith(PREFIX)]
        return {
            name.removeprefix(PREFIX): sum(point.value for point in client(uri).get_metric_history(run, name))
            for name in names
        }


def _on_gpu() -> bool:
    """Whether the models of this process are on a GPU; without torch there are none."""
    if "torch" not in sys.modules:
        return False
    from alignloop.core import devices

    return devices.current().type != "cpu"
