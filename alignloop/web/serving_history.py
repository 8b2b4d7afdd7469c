"""Keeps what the server counts for Prometheus, by the hour: the operators' page has it after a restart."""

import logging
import threading
import time

from prometheus_client import CollectorRegistry

from alignloop.errors import AlignloopError
from alignloop.labeling import served_history
from alignloop.labeling.database import LabelingDatabase

FLUSH_SECONDS = 10.0
log = logging.getLogger(__name__)


class ServingHistory:
    """Adds increases of a registry of counters and histograms to the database, every few seconds."""

    def __init__(self, registry: CollectorRegistry, database: LabelingDatabase) -> None:
        self._registry, self._database = registry, database
        self._before: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="history", daemon=True)

    def start(self) -> None:
        """Keep what is counted from now on."""
        self._thread.start()

    def close(self) -> None:
        """Keep the rest, and end."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

    def flush(self) -> None:
        """Keep what has been counted until now. Raises LabelingDatabaseError; nothing is lost then."""
        with self._lock:
            now = {
                (sample.name, tuple(sample.labels.items())): sample.value
                for metric in self._registry.collect()
                for sample in metric.samples
                if not sample.name.endswith("_created")
            }
            grown: list[served_history.Growth] = [
                (name, dict(labels), value - self._before.get((name, labels), 0.0))
                for (name, labels), value in now.items()
                if value != self._before.get((name, labels), 0.0)
            ]
            if grown:
                served_history.add(self._database, time.time(), grown)
                self._before = now

    def _follow(self) -> None:
        while not self._ended.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except AlignloopError as error:  # it is tried again
                log.error("what the server counts is not kept now: %s", error)
