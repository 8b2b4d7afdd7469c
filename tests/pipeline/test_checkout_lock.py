"""One run at a time works on a checkout, and its lock names it."""

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from alignloop.pipeline import checkout_lock
from alignloop.pipeline.checkout_lock import (
    PipelineBusyError,
    checkout_holder,
    hold_lock_file,
    lock_checkout,
    lock_stage,
    read_lock_file,
)

HOLD = """
import os, sys
from pathlib import Path
from alignloop.pipeline.checkout_lock import lock_checkout
with lock_checkout(Path(sys.argv[1]), "flow run blue-fox"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_works_on_a_stage_and_the_second_waits_for_one_that_is_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout_lock, "STAGE_PATIENCE_SECONDS", 0.1)
    first = lock_stage(tmp_path, "ppo@r1")
    first.__enter__()
    with (
        lock_stage(tmp_path, "ppo@r2"),
        pytest.raises(PipelineBusyError, match=rf"process {os.getpid()} works on ppo@r1 in"),
    ):
        lock_stage(tmp_path, "ppo@r1").__enter__()
    monkeypatch.setattr(checkout_lock, "STAGE_PATIENCE_SECONDS", 60.0)
    threading.Timer(0.2, first.__exit__, (None, None, None)).start()
    with lock_stage(tmp_path, "ppo@r1"):
        pass


def test_a_process_that_reads_the_lock_for_an_instant_refuses_no_run(tmp_path: Path) -> None:
    with lock_checkout(tmp_path, "first"):
        pass
    with checkout_lock._checkout_file(tmp_path).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.2, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        with lock_checkout(tmp_path, "second"):
            pass


def test_a_second_run_on_a_checkout_is_refused_with_a_message_and_a_dead_run_holds_no_lock(
    tmp_path: Path,
) -> None:
    assert checkout_holder(tmp_path) is None
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as first:
        assert first.stdout
        assert first.stdout.readline() == b"held\n"
        seen = checkout_holder(tmp_path)
        assert seen
        assert (seen.what, seen.pid) == ("flow run blue-fox", first.pid)
        with pytest.raises(
            PipelineBusyError, match=rf"flow run blue-fox \(process {first.pid}, since .* UTC\) is at work"
        ):
            lock_checkout(tmp_path, "another").__enter__()
        assert checkout_holder(tmp_path) == seen, "a refused run changes nothing"
        first.kill()
    assert checkout_holder(tmp_path) is None
    with lock_checkout(tmp_path, "mine"):
        mine = checkout_holder(tmp_path)
        assert mine
        assert (mine.what, mine.pid) == ("mine", os.getpid())
    assert checkout_holder(tmp_path) is None


def test_the_content_of_a_lock_file_can_be_read_while_it_is_held(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "serving"
    assert read_lock_file(file) == {}
    with hold_lock_file(file, {"PREFECT_API_URL": "http://127.0.0.1:1/api"}) as acquired:
        assert acquired
        assert read_lock_file(file) == {"PREFECT_API_URL": "http://127.0.0.1:1/api"}
    assert read_lock_file(file) == {}
