"""Starts the pipeline when a round has enough rankings or a candidate has a decision.

The claim is in the database, so that a restart of the server starts the pipeline neither twice nor never.
"""

import shlex
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from alignloop.labeling import reviews, rounds
from alignloop.labeling.database import LabelingDatabase

POLL_SECONDS = 5.0


class PipelineTrigger:
    """Context manager that polls the database and starts `command` when the pipeline can continue."""

    def __init__(self, database: LabelingDatabase, command: str, log: Path) -> None:
        self._database = database
        self._command = shlex.split(command)
        self._log = log
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._running: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "PipelineTrigger":
        if self._command:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _poll(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self.start_if_ready()

    def start_if_ready(self) -> bool:
        """Start the pipeline if it is not running and there is something to continue with.

        Returns whether it was started.
        """
        if self._running and self._running.poll() is None:
            return False
        ready = [f"round {each}" for each in rounds.claim_complete(self._database)]
        ready += reviews.claim_decided(self._database)
        if not ready:
            return False
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            log.write(f"{', '.join(ready)}: ready: {shlex.join(self._command)}\n".encode())
            log.flush()
            self._running = subprocess.Popen(
                self._command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        return True
