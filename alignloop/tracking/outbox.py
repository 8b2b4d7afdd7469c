"""Outbox: send items from a background thread, in order and in batches; putting an item in never blocks."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")
BATCH_ITEMS = 1000


class Outbox(Generic[T]):
    """Calls `send` with the queued items at an interval, and keeps them while it raises `transient_error`."""

    def __init__(
        self, send: Callable[[list[T]], None], interval_seconds: float, transient_error: type[Exception]
    ) -> None:
        self._send = send
        self._interval = interval_seconds
        self._transient_error = transient_error
        self._items: list[T] = []
        self._changed = threading.Condition()
        self._send_now = self._closed = False
        self.error: Exception | None = None  # of the last attempt
        self._thread = threading.Thread(target=self._work, name="outbox", daemon=True)
        self._thread.start()

    def put(self, items: Iterable[T]) -> None:
        """Queue items."""
        with self._changed:
            self._items += items

    def flush(self, patience_seconds: float) -> None:
        """Wait until all items are sent. Raises the error of the last attempt when the patience is over."""
        deadline = time.monotonic() + patience_seconds
        with self._changed:
            self.error, self._send_now = None, True
            self._changed.notify_all()
            while self._items:
                if self.error and (self._closed or time.monotonic() >= deadline):
                    raise self.error
                self._changed.wait(0.5)

    def close(self) -> None:
        """Stop the thread; items that are still queued are dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._send_now or self._closed, self._interval)
                if self._closed:
                    return
                self._send_now, batch = False, self._items[:BATCH_ITEMS]
            error = self._attempt(batch) if batch else None
            with self._changed:
                self.error = error
                if error is None:
                    del self._items[: len(batch)]
                    self._send_now = bool(self._items) and len(batch) == BATCH_ITEMS
                elif not isinstance(error, self._transient_error):
                    self._closed = True
                self._changed.notify_all()

    def _attempt(self, batch: list[T]) -> Exception | None:
        try:
            self._send(batch)
        except Exception as error:
            return error
        return None
