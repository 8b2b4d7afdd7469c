"""One run at a time on a checkout, and everybody can see who it is."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from alignloop.pipeline import checkout_lock
from alignloop.pipeline.checkout_lock import PipelineBusyError, at_stage, at_work, held, holder, holding

HOLD = """
import os, sys
from pathlib import Path
from alignloop.pipeline.checkout_lock import at_work
with at_work(Path(sys.argv[1]), "flow run blue-fox"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_never_work_on_one_stage_and_the_second_waits_for_one_that_is_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout_lock, "STAGE_PATIENCE_SECONDS", 0.1)
    first = at_stage(tmp_path, "ppo@r1")
    first.__enter__()
    with (
        at_stage(tmp_path, "ppo@r2"),
        pytest.raises(PipelineBusyError, match=rf"process {os.getpid()} works on ppo@r1 in"),
    ):
        at_stage(tmp_path, "ppo@r1").__enter__()
    monkeypatch.setattr(checkout_lock, "STAGE_PATIENCE_SECONDS", 60.0)
    threading.Timer(0.2, first.__exit__, (None, None, None)).start()
    with at_stage(tmp_path, "ppo@r1"):
        pass


def test_the_second_run_on_a_checkout_is_refused_in_words_and_a_dead_one_holds_nothing(
    tmp_path: Path,
) -> None:
    assert holder(tmp_path) is None
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as first:
        assert first.stdout
        assert first.stdout.readline() == b"held\n"
        seen = holder(tmp_path)
        assert seen
        assert (seen.what, seen.pid) == ("flow run blue-fox", first.pid)
        with pytest.raises(
            PipelineBusyError, match=rf"flow run blue-fox \(process {first.pid}, since .* UTC\) is at work"
        ):
            at_work(tmp_path, "another").__enter__()
        assert holder(tmp_path) == seen, "a refusal changes nothing"
        first.kill()
    assert holder(tmp_path) is None
    with at_work(tmp_path, "mine"):
        mine = holder(tmp_path)
        assert mine
        assert (mine.what, mine.pid) == ("mine", os.getpid())
    assert holder(tmp_path) is None


def test_what_a_holder_tells_is_known_while_it_holds(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "serving"
    assert held(place) == {}
    with holding(place, {"PREFECT_API_URL": "http://127.0.0.1:1/api"}) as alone:
        assert alone
        assert held(place) == {"PREFECT_API_URL": "http://127.0.0.1:1/api"}
    assert held(place) == {}
