"""A stage's progress as it is printed: first and last steps, speed, time left, numbers and durations."""

import time

import pytest

from alignloop import progress
from alignloop.progress import WIDTH, Progress, duration, paced, readable, spoken


def test_progress_is_printed_first_last_and_at_growing_distances_with_rate_and_end():
    now = iter(range(1000))
    printed: list[str] = []
    steps = [Progress(step, 60, {"grad_norm": 2.5, "ppo/kl": 0.000001}) for step in range(1, 61)]
    assert list(paced(iter(steps), "sft", printed.append, lambda: float(next(now)))) == steps, (
        "all of it is passed on"
    )
    assert printed == [
        "sft  1/60 · grad norm 2.5 · kl 1e-6",
        "sft  11/60 · 1/s · 0:49 left · grad norm 2.5 · kl 1e-6",
        "sft  21/60 · 1/s · 0:39 left · grad norm 2.5 · kl 1e-6",
        "sft  41/60 · 1/s · 0:19 left · grad norm 2.5 · kl 1e-6",
        "sft  60/60 · 1/s · grad norm 2.5 · kl 1e-6 · done in 1:01",
    ]


def test_a_line_takes_the_metrics_that_fit():
    printed: list[str] = []
    metrics = {f"metric_number_{number}": 1234567.0 for number in range(9)}
    list(paced(iter([Progress(1, 1, metrics)]), "reward · r1", printed.append))
    assert printed[0] == "reward · r1  1/1 · metric number 0 1,234,567 · metric number 1 1,234,567"
    assert len(printed[0]) <= WIDTH


def test_a_resumed_stage_and_a_second_part_are_timed_from_their_own_start():
    times = iter([0, 100, 112, 200, 214, 300, 314, 314])
    printed: list[str] = []
    before = [Progress(step, 60, recalled=True) for step in range(1, 51)]
    parts = [
        *before,
        Progress(51, 60),
        Progress(55, 60),
        Progress(1, 60),
        Progress(2, 60),
        Progress(3, 9),
        Progress(4, 9),
    ]
    list(paced(iter(parts), "ppo", printed.append, lambda: float(next(times))))
    assert printed == [
        "ppo  resumes after step 50 of 60",
        "ppo  51/60",
        "ppo  55/60 · 3 s each · 0:15 left",
        "ppo  1/60",  # counting began again
        "ppo  2/60 · 14 s each · 13:32 left",
        "ppo  3/9",  # the total is another
        "ppo  4/9 · 14 s each · 1:10 left",
        "ppo  done in 5:14",
    ]


def test_the_last_step_of_a_part_is_printed_before_the_next_begins():
    times = iter([0, 1, 2, 2.5, 15, 16])
    printed: list[str] = []
    parts = [Progress(1, 94), Progress(94, 94), Progress(1, 1, note="nearly there"), Progress(1, 1)]
    list(paced(iter(parts), "reward", printed.append, lambda: float(next(times))))
    assert printed == [
        "reward  1/94",
        "reward  94/94 · 93/s",
        "reward  nearly there",
        "reward  1/1",
        "reward  1/1",
        "reward  done in 0:16",
    ]


def test_work_outside_of_steps_speaks_where_it_takes_long_and_only_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0.5)
    printed: list[str] = []
    for seconds, lines in ((0.0, 0), (0.6, 1)):
        sizes = {"a": 500, "b": 2500}
        for _ in spoken(sizes, "hashing outputs", name="ppo", say=printed.append, look_every=0.01):
            time.sleep(seconds)
        assert len(printed) == lines
    assert printed[0].startswith("ppo  hashing outputs · 0 B of 3.0 kB · 0:0")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (31415.9, "31,416"),
        (1600.0, "1,600"),
        (7, "7"),
        (12.345, "12.3"),
        (-0.0012345, "-0.00123"),
        (0.0001, "0.0001"),
        (1.788e-07, "1.8e-7"),
        (0.0, "0"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_numbers_are_written_as_people_write_them(value: float, text: str):
    assert readable(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (3600, "1:00:00")]
)
def test_durations_are_printed_as_clocks_do(seconds: float, text: str):
    assert duration(seconds) == text
