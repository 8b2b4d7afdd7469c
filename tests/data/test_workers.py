"""Results of worker processes come in order, their errors are raised here, and no process is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alignloop.data import workers
from alignloop.data.input_files import DataError
from alignloop.data.workers import Workers, WorkersError


def later(number: int) -> tuple[int, int]:
    time.sleep(0.02 * (number % 3 == 0))
    return number, os.getpid()


def refuse(number: int) -> int:
    if number == 4:
        raise DataError("file.jsonl:4: is broken; correct the line")
    return number


def vanish(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "ALONE", 2)


@pytest.mark.usefixtures("at_once")
def test_results_come_in_the_order_of_the_pieces_and_from_other_processes():
    with Workers(2) as many:
        found = list(many.map(later, range(20)))
        assert [number for number, _ in found] == list(range(20))
        assert os.getpid() not in {process for _, process in found}
        assert [number for number, _ in many.map(later, [5])] == [5], "running workers also do small work"
    for _, process in found:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_little_work_and_one_core_start_no_process(monkeypatch: pytest.MonkeyPatch):
    with Workers(2) as many:
        assert {process for _, process in many.map(later, range(workers.ALONE - 1))} == {os.getpid()}
    monkeypatch.setattr(workers, "ALONE", 2)
    with Workers(1) as one:
        assert {process for _, process in one.map(later, range(9))} == {os.getpid()}


@pytest.mark.usefixtures("at_once")
def test_an_error_in_a_worker_is_raised_here_after_the_results_before_it():
    done: list[int] = []
    with pytest.raises(DataError, match=r"file\.jsonl:4: is broken"), Workers(2) as many:
        done.extend(many.map(refuse, range(9)))
    assert done in ([], [0, 1, 2, 3])
    with Workers(2) as many:
        found = many.map(refuse, range(9))
        assert [next(found) for _ in range(4)] == [0, 1, 2, 3]


@pytest.mark.usefixtures("at_once")
def test_a_killed_worker_is_an_error():
    with pytest.raises(WorkersError, match="lack of memory"), Workers(2) as many:
        list(many.map(vanish, range(9)))


def test_workers_end_when_their_parent_is_killed():
    code = """
from alignloop.data import workers
from tests.data.test_workers import later
workers.ALONE = 1
if __name__ == "__main__":
    with workers.Workers(1 + 1) as many:
        for _, process in many.map(later, range(10**6)):
            print(process, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        ids = {int(parent.stdout.readline()) for _ in range(4)}
        parent.kill()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{process}").exists() for process in ids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)
