"""Going on by itself: when a round has enough rankings, or a candidate is decided on, start the pipeline, however often this restarts."""

import shlex
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from alignloop.labeling import reviews, rounds
from alignloop.labeling.database import Store

SECONDS = 5.0


class Continuation:
    """While the block runs, looks every few seconds whether there is something to go on with, and starts `command` for it."""

    def __init__(self, store: Store, command: str, log: Path) -> None:
        self._store, self._command, self._log = store, shlex.split(command), log
        self._ended, self._thread = threading.Event(), threading.Thread(target=self._watch, daemon=True)
        self._running: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Continuation":
        if self._command:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SECONDS):
            self.look()

    def look(self) -> bool:
        """Start the pipeline if there is something to go on with, and it neither runs nor was started; say whether it was started."""
        if self._running and self._running.poll() is None:
            return False
        ready = [f"round {each}" for each in rounds.claim_ready(self._store)] + reviews.claim_decided(
            self._store
        )
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
