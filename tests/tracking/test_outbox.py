"""Putting never blocks, items arrive once and in order, and `flush` raises the error of sending."""

import threading
import time

import pytest

from alignloop.tracking.outbox import BATCH_ITEMS, Outbox


class UnreachableError(Exception):
    """The receiver does not reply."""


def test_all_items_arrive_in_order_in_few_batches():
    got: list[list[int]] = []
    outbox = Outbox[int](got.append, 60.0, UnreachableError)
    for number in range(2 * BATCH_ITEMS + 5):
        outbox.put([number])
    outbox.flush(0.0)
    assert [number for batch in got for number in batch] == list(range(2 * BATCH_ITEMS + 5))
    assert list(map(len, got)) == [BATCH_ITEMS, BATCH_ITEMS, 5]
    outbox.flush(0.0)
    assert len(got) == 3, "nothing is sent twice"
    outbox.close()


def test_putting_does_not_block_while_the_receiver_is_unreachable_and_all_items_arrive_later():
    back, got = threading.Event(), []

    def send(items: list[int]) -> None:
        if not back.is_set():
            time.sleep(0.3)  # a failing connection takes time
            raise UnreachableError
        got.extend(items)

    outbox = Outbox[int](send, 0.01, UnreachableError)
    began = time.monotonic()
    for number in range(20):
        outbox.put([number])
    assert time.monotonic() - began < 20 * 0.3 / 2
    with pytest.raises(UnreachableError):
        outbox.flush(0.0)
    threading.Timer(0.3, back.set).start()
    outbox.flush(60.0)
    assert got == list(range(20))
    outbox.close()


def test_an_error_that_is_not_transient_is_raised_at_once():
    def send(items: list[int]) -> None:
        raise ZeroDivisionError

    outbox = Outbox[int](send, 0.01, UnreachableError)
    outbox.put([1])
    with pytest.raises(ZeroDivisionError):
        outbox.flush(60.0)
