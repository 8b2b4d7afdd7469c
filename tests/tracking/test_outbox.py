"""Who puts something in never waits, everything arrives once and in order, and trouble is told to who insists."""

import threading
import time

import pytest

from alignloop.tracking.outbox import MOST, Outbox


class AwayError(Exception):
    """Nobody answers."""


def test_all_of_it_arrives_in_order_in_few_batches():
    got: list[list[int]] = []
    outbox = Outbox[int](got.append, 60.0, AwayError)
    for number in range(2 * MOST + 5):
        outbox.put([number])
    outbox.empty(0.0)
    assert [number for batch in got for number in batch] == list(range(2 * MOST + 5))
    assert list(map(len, got)) == [MOST, MOST, 5]
    outbox.empty(0.0)
    assert len(got) == 3, "nothing is sent twice"
    outbox.close()


def test_while_nobody_answers_putting_costs_nothing_and_later_all_arrives():
    back, got = threading.Event(), []

    def send(items: list[int]) -> None:
        if not back.is_set():
            time.sleep(0.3)  # as a connection takes its time to fail
            raise AwayError
        got.extend(items)

    outbox = Outbox[int](send, 0.01, AwayError)
    began = time.monotonic()
    for number in range(20):
        outbox.put([number])
    assert time.monotonic() - began < 20 * 0.3 / 2
    with pytest.raises(AwayError):
        outbox.empty(0.0)
    threading.Timer(0.3, back.set).start()
    outbox.empty(60.0)
    assert got == list(range(20))
    outbox.close()


def test_a_bug_is_no_trouble_that_passes():
    def send(items: list[int]) -> None:
        raise ZeroDivisionError

    outbox = Outbox[int](send, 0.01, AwayError)
    outbox.put([1])
    with pytest.raises(ZeroDivisionError):
        outbox.empty(60.0)
