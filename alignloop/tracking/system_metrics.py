"""System metrics: MLflow's CPU, memory, disk, network and GPU monitors, read at most every ten seconds.

MLflow's own monitoring thread stops for good when its server is unreachable for a moment. Read here, with the
stage's progress, the values are queued with the other points of the run.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

INTERVAL_SECONDS = 10.0


class SystemMonitor:
    """Reads CPU, memory, disk, network, and GPU where there is one and `nvidia-ml-py` is installed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._monitors: list[BaseMetricsMonitor] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        with suppress(ImportError, RuntimeError):
            self._monitors.append(GPUMonitor())
        self._clock, self._last = clock, clock()
        self._measure()  # rates and differences are counted from here

    def readings(self) -> dict[str, float]:
        """Return the values since the last reading, by MLflow's names; empty until the interval is over."""
        if self._clock() - self._last < INTERVAL_SECONDS:
            return {}
        self._last = self._clock()
        return {f"system/{name}": value for name, value in self._measure().items()}

    def _measure(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            values.update(monitor.aggregate_metrics() or {})
            monitor.clear_metrics()
        return values
