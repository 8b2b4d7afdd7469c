"""How much data is too little, by numbers worked by hand, and what is said of it."""

import pytest

from alignloop.core.metrics import win_rate_of_outcomes
from alignloop.evaluation.data_size import count_for, reach_of, size_note, size_section, size_warnings

ENOUGH = {"demonstrations": 200, "pairs": 1000, "valid_pairs": 93, "test_prompts": 93}


@pytest.mark.parametrize("count", [1, 11, 93, 381])
def test_the_reach_is_that_of_a_win_rate_of_a_half(count: int) -> None:
    win = win_rate_of_outcomes([0.5] * count)
    assert reach_of(count) == pytest.approx((win.high - win.low) / 2, abs=1e-12)


def test_as_many_outcomes_as_are_asked_for_are_enough_and_one_less_is_not() -> None:
    assert (count_for(0.1), count_for(0.05)) == (93, 381)  # (1.96 / 0.2)² − 1.96² = 92.2
    for reach in (0.1, 0.05, 0.01):
        assert reach_of(count_for(reach)) <= reach < reach_of(count_for(reach) - 1)


def test_nothing_is_said_of_enough_data_and_of_sizes_that_are_not_known() -> None:
    for sizes in (ENOUGH, {}):
        assert (size_warnings(sizes), size_note(sizes), size_section(sizes)) == ([], "", "")


@pytest.mark.parametrize(
    ("key", "count", "said"),
    [
        (
            "demonstrations",
            20,
            "20 demonstrations to learn from: SFT takes on their form at best; 1,000",
        ),
        ("pairs", 84, "84 ordered pairs to learn preferences from: 5,000 were enough"),
        (
            "valid_pairs",
            14,
            "14 ordered validation pairs: the reward model's accuracy is known to ±23",
        ),
        ("test_prompts", 11, "11 test prompts: a win rate is known to ±25 points only; 93 give ±10, 381 ±5"),
    ],
)
def test_each_set_that_is_too_small_is_said_with_what_would_be_enough(
    key: str, count: int, said: str
) -> None:
    [warning] = size_warnings({**ENOUGH, key: count})
    assert warning.startswith(said)
    assert f"- {said}" in size_section({**ENOUGH, key: count})
    assert size_note({key: count}).startswith(f"too little data: {said}")
    assert size_warnings({**ENOUGH, key: ENOUGH[key] - 1}) != []
