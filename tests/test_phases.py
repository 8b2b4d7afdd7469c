"""Phases: nested work with its parts and times, and how it is printed where no step comes."""

import time

import pytest

from alignloop import phases
from alignloop.phases import counted, open_phases, phase
from alignloop.progress import Lines, Progress, describe, paced, shares_of_time


@pytest.fixture(autouse=True)
def no_times():
    phases.clear()
    yield
    assert open_phases() == (), "every phase is closed"


def test_phases_are_nested_and_closed_after_an_error_too():
    with phase("step", of=3), phase("decoding", 4) as decoding:
        decoding.advance(3)
        assert [(each.title, each.done, each.total) for each in open_phases()] == [
            ("step 3", 0, None),
            ("decoding", 3, 4),
        ]
    with pytest.raises(ZeroDivisionError), phase("step"), phase("decoding"):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        list(counted("scoring", (1 // part for part in (1, 0)), 2))


def test_counted_parts_are_passed_on_and_counted_when_they_have_been_used():
    seen = [(part, open_phases()[-1].done) for part in counted("scoring", "abc", 3, of="r1")]
    assert seen == [("a", 0), ("b", 1), ("c", 2)]


def test_bytes_are_counted_within_a_part_and_the_rest_of_it_after():
    seen: list[int] = []
    for part in phases.sized("hashing", {"large": 100, "known": 50}):
        if part == "large":
            phases.advance_bytes(30)
        seen.append(open_phases()[-1].done)
    assert seen == [30, 100], "what had not to be read counts as done"
    with phase("hashing", 2_000_000, in_bytes=True) as opened, phase("a part"):
        phases.advance_bytes(1_500_000)
        assert describe([opened], opened.began + 3) == "hashing · 1.5 MB of 2.0 MB · 0:01 left"
    phases.advance_bytes(1)  # nobody counts


def test_time_counts_for_the_innermost_phase_alone():
    with phase("step", of=1):
        time.sleep(0.02)
        with phase("decoding"):
            time.sleep(0.05)
    with phase("step", of=2):
        time.sleep(0.02)
    took = phases.seconds()
    assert took.keys() == {"step", "decoding"}
    assert 0.04 <= took["step"] < 0.06 + took["decoding"] - 0.05 + 0.5
    assert took["decoding"] >= 0.05
    phases.clear()
    assert phases.seconds() == {}


def lines(clock: list[float]) -> tuple[Lines, list[str]]:
    printed: list[str] = []
    return Lines("ppo", printed.append, lambda: clock[0]), printed


def test_a_silent_stage_says_what_it_does_at_growing_distances():
    clock = [0.0]
    shown, printed = lines(clock)
    with phase("loading", of="models/sft"):
        for second in range(1, 61):
            clock[0] = float(second)
            shown.look()
    assert [line.partition(" · ")[0] for line in printed] == ["ppo  loading models/sft"] * 4, (
        "after 5, 15, 30 and 60 seconds"
    )


def test_within_a_step_of_the_usual_length_nothing_is_printed():
    clock = [0.0]
    shown, printed = lines(clock)
    with phase("step", of=1), phase("decoding", 8):
        clock[0] = 6.0
        shown.look()
    clock[0] = 20.0
    shown.report(Progress(1, 9))
    with phase("step", of=2), phase("decoding", 8):
        clock[0] = 79.0  # no step came for 59 seconds, and the last one took 20
        shown.look()
        assert len(printed) == 2
        clock[0] = 80.0
        shown.look()
    assert printed[0].startswith("ppo  step 1: decoding · 0/8")
    assert printed[1] == "ppo  1/9"
    assert printed[2].startswith("ppo  step 2: decoding · 0/8")


def test_after_the_last_step_the_next_work_is_printed_with_the_last_step_before_it():
    clock = [0.0]
    shown, printed = lines(clock)
    for step, second in ((1, 30.0), (2, 31.0)):
        clock[0] = second
        shown.report(Progress(step, 2))
    clock[0] = 36.5
    shown.look()
    assert printed == ["ppo  1/2"], "no phase is open, so there is nothing to say"
    with phase("normalising the scores"):
        shown.look()
    assert printed[1:] == ["ppo  2/2 · 1/s", printed[2]]
    assert printed[2].startswith("ppo  normalising the scores · ")


def test_a_phase_tells_how_far_it_is_and_when_it_ends():
    with phase("step", of=1) as step, phase("decoding", 40) as decoding:
        began = decoding.began
        assert describe([step, decoding], began + 9) == "step 1: decoding · 0/40 · 0:09 so far"
        decoding.advance(30)
        assert describe([step, decoding], began + 9) == "step 1: decoding · 30/40 · 0:03 left"
    with phase("loading", of="x") as loading:
        assert describe([loading], loading.began + 61) == "loading x · 1:01 so far"


def test_a_thread_looks_while_the_stage_works(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("alignloop.progress.SILENT_SECONDS", 0.02)
    printed: list[str] = []

    def work():
        with phase("loading", of="models/sft"):
            time.sleep(0.2)
        yield Progress(1, 1)

    list(paced(work(), "sft", printed.append, look_every=0.01))
    assert printed[0].startswith("sft  loading models/sft")
    assert printed[1] == "sft  1/1"


def test_shares_of_time_are_in_the_order_of_their_size_and_the_rest_is_last():
    took = {"decoding": 30.0, "learner": 45.0, "step": 15.0}
    assert shares_of_time(took, 100.0) == "learner 45%, decoding 30%, step 15%, rest 10%"
    assert shares_of_time({"saving the policy": 0.2}, 100.0) == "rest 100%", "shares below 1% are in the rest"
