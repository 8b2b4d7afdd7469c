"""Sending from a thread of its own, in order and in batches: who puts something in never waits for who receives it."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")
MOST = 1000  # items a batch


class Outbox(Generic[T]):
    """Gives `send` what is put in, every few seconds and at least once. While it raises one of `troubles`, the items wait."""

    def __init__(
        self, send: Callable[[list[T]], None], every_seconds: float, troubles: type[Exception]
    ) -> None:
        self._send, self._every, self._troubles = send, every_seconds, troubles
        self._items: list[T] = []
        self._changed = threading.Condition()
        self._hurry = self._closed = False
        self.trouble: Exception | None = None  # what the last attempt met
        self._thread = threading.Thread(target=self._work, name="outbox", daemon=True)
        self._thread.start()

    def put(self, items: Iterable[T]) -> None:
        """Let these be sent some time soon."""
        with self._changed:
            self._items += items

    def empty(self, patience_seconds: float) -> None:
        """Wait until all is sent. Raises what stands in the way if it still does after an attempt of now and this much patience."""
        deadline = time.monotonic() + patience_seconds
        with self._changed:
            self.trouble, self._hurry = None, True
            self._changed.notify_all()
            while self._items:
                if self.trouble and (self._closed or time.monotonic() >= deadline):
                    raise self.trouble
                self._changed.wait(0.5)

    def close(self) -> None:
        """Send no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._hurry or self._closed, self._every)
                if self._closed:
                    return
                self._hurry, batch = False, self._items[:MOST]
            trouble = self._attempt(batch) if batch else None
            with self._changed:
                self.trouble = trouble
                if trouble is None:
                    del self._items[: len(batch)]
                    self._hurry = bool(self._items) and len(batch) == MOST
                elif not isinstance(trouble, self._troubles):
                    self._closed = True
                self._changed.notify_all()

    def _attempt(self, batch: list[T]) -> Exception | None:
        try:
            self._send(batch)
        except Exception as trouble:
            return trouble
        return None
