"""A stage's progress as it is printed: first and last steps, speed, time left and durations."""

import pytest

from alignloop.progress import Progress, duration, paced


def test_progress_is_printed_first_last_and_every_two_seconds_with_rate_and_end():
    now = iter(range(1000))
    printed: list[str] = []
    steps = [Progress(step, 8, {"loss": 2.5}) for step in range(1, 9)]
    assert list(paced(iter(steps), "sft", printed.append, lambda: float(next(now)))) == steps, (
        "all of it is passed on"
    )
    assert printed == [
        "sft  1/8 · loss 2.5",
        "sft  3/8 · 1/s · 0:05 left · loss 2.5",
        "sft  5/8 · 1/s · 0:03 left · loss 2.5",
        "sft  7/8 · 1/s · 0:01 left · loss 2.5",
        "sft  8/8 · 1/s · loss 2.5",
        "sft  done in 0:09",
    ]


def test_a_resumed_stage_and_a_second_part_are_timed_from_their_own_start():
    times = iter([0, 100, 102, 200, 204, 300, 304, 304])
    printed: list[str] = []
    before = [Progress(step, 60, recalled=True) for step in range(1, 51)]
    parts = [
        *before,
        Progress(51, 60),
        Progress(53, 60),
        Progress(1, 60),
        Progress(2, 60),
        Progress(3, 9),
        Progress(4, 9),
    ]
    list(paced(iter(parts), "ppo", printed.append, lambda: float(next(times))))
    assert printed[:3] == ["ppo  resumes after step 50 of 60", "ppo  51/60", "ppo  53/60 · 1/s · 0:07 left"]
    assert printed[3:5] == ["ppo  1/60", "ppo  2/60 · 0.25/s · 3:52 left"], "counting began again"
    assert printed[5:7] == ["ppo  3/9", "ppo  4/9 · 0.25/s · 0:20 left"], "the total is another"


def test_the_last_step_of_a_part_is_printed_before_the_next_begins():
    times = iter([0, 1, 2, 2.5, 5, 6])
    printed: list[str] = []
    parts = [Progress(1, 94), Progress(94, 94), Progress(1, 1, note="nearly there"), Progress(1, 1)]
    list(paced(iter(parts), "reward", printed.append, lambda: float(next(times))))
    assert printed == [
        "reward  1/94",
        "reward  94/94 · 93/s",
        "reward  nearly there",
        "reward  1/1",
        "reward  1/1",
        "reward  done in 0:06",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (3600, "1:00:00")]
)
def test_durations_are_printed_as_clocks_do(seconds: float, text: str):
    assert duration(seconds) == text
