"""How busy the machine is while a stage works: MLflow's system metrics, read where a stage tells how far it is, at most every ten seconds.

MLflow's own thread for them ends for good when its server is away for a moment; read here, they wait with the other points of the run.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

EVERY_SECONDS = 10.0


class Machine:
    """CPU, memory, disk, network, and GPU where there is one and `nvidia-ml-py` is installed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._monitors: list[BaseMetricsMonitor] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        with suppress(ImportError, RuntimeError):
            self._monitors.append(GPUMonitor())
        self._clock, self._last = clock, clock()
        self._measured()  # what follows is measured from here

    def readings(self) -> dict[str, float]:
        """The numbers since the last ones, by the names under which MLflow's page shows them; none if that was a moment ago."""
        if self._clock() - self._last < EVERY_SECONDS:
            return {}
        self._last = self._clock()
        return {f"system/{name}": value for name, value in self._measured().items()}

    def _measured(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            found.update(monitor.aggregate_metrics() or {})
            monitor.clear_metrics()
        return found
