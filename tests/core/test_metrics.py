"""Win rates, their intervals and diversity, by hand."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alignloop.core.metrics import (
    distinct,
    distinct_responses,
    format_win_rate,
    length_controlled_win_rate,
    self_bleu,
    win_rate,
    win_rate_of_outcomes,
)


def test_a_win_rate_by_hand_counts_ties_as_half():
    rate = win_rate([3, 1, 2, 5, 2], [1, 2, 2, 4, 2])
    assert (rate.rate, rate.n, rate.ties) == (0.6, 5, 0.4)
    assert win_rate([1.0 + 1e-12], [1.0]).ties == 1, "rounding is no win"
    assert win_rate([1, 2], [2, 3]).as_dict()["rate"] == 0


def test_a_gap_within_the_tolerance_is_a_tie_on_either_side():
    assert win_rate([0.5, 0.0], [0.0, 0.5], tolerance=0.5).ties == 1
    assert (win_rate([0.6], [0.0], tolerance=0.5).rate, win_rate([0.0], [0.6], tolerance=0.5).rate) == (1, 0)


def test_a_win_rate_has_six_decimals_in_files_and_three_in_text():
    # one of three: centre (1/3 + 1.96²/6) / (1 + 1.96²/3), half 1.96 · √(2/27 + 1.96²/36) / (1 + 1.96²/3)
    win = win_rate_of_outcomes([1.0, 0.0, 0.0])
    assert win.as_dict() == {"rate": 0.333333, "low": 0.06149, "high": 0.792345, "n": 3, "ties": 0}
    assert format_win_rate(win.as_dict()) == "0.333 [0.061, 0.792] on 3 prompts"
    assert win_rate_of_outcomes([1.0, 0.25, 0.0, 0.75]).ties == 0.5, "neither won nor lost"


def test_the_interval_is_wilsons_score_interval():
    # n = 100, p = 0.6, z = 1.96: centre (0.6 + 0.019208) / 1.038416, half 1.96 · √(0.0024 + 0.00009604) /
    # 1.038416
    rate = win_rate([1] * 60 + [0] * 40, [0] * 60 + [1] * 40)
    assert (rate.low, rate.high) == (pytest.approx(0.502002, abs=1e-5), pytest.approx(0.690600, abs=1e-5))


def test_five_wins_of_five_leave_a_wide_interval():
    rate = win_rate([1] * 5, [0] * 5)
    assert rate.rate == rate.high == 1
    assert rate.low == pytest.approx(0.565508, abs=1e-5), "5 / (5 + 1.96²)"
    assert win_rate([1], [0]).low == pytest.approx(0.206543, abs=1e-5)


@example([(1, 0)] * 6)  # a case where rounding would put the upper bound below 1
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_the_interval_contains_the_rate_and_swapping_sides_mirrors_it(scores: list[tuple[int, int]]):
    mine, theirs = [a for a, _ in scores], [b for _, b in scores]
    one, other = win_rate(mine, theirs), win_rate(theirs, mine)
    assert 0 <= one.low <= one.rate <= one.high <= 1
    assert (one.rate, one.low, one.high) == pytest.approx((1 - other.rate, 1 - other.high, 1 - other.low))


def test_the_interval_covers_the_truth_about_95_times_in_100():
    random = np.random.default_rng(0)
    rates = [win_rate((random.random(80) < 0.9).tolist(), [0.5] * 80) for _ in range(1000)]
    covered = sum(rate.low <= 0.9 <= rate.high for rate in rates)
    assert 930 <= covered <= 975


def test_at_equal_lengths_the_controlled_win_rate_is_the_win_rate():
    mine, theirs = [3, 1, 2, 5, 2], [1, 2, 2, 4, 2]
    assert (
        length_controlled_win_rate(mine, theirs, [7, 8, 9, 1, 2], [7, 8, 9, 1, 2])
        == win_rate(mine, theirs).rate
    )


def test_wins_explained_by_length_are_removed():
    random = np.random.default_rng(0)
    gaps = random.integers(-20, 21, size=400)
    # longer responses win, and mine are favoured at equal length
    raw = (gaps + random.normal(0, 4, size=400) > -10).tolist()
    assert (
        length_controlled_win_rate(raw, [0.5] * 400, gaps.tolist(), [0] * 400)
        > win_rate(raw, [0.5] * 400).rate + 0.1
    )
    # my responses are longer by twelve on average, and the longer one always wins
    by_length = np.sign(gaps + 12).tolist()
    rate = length_controlled_win_rate(by_length, [0] * 400, (gaps + 12).tolist(), [0] * 400)
    assert win_rate(by_length, [0] * 400).rate > 0.75
    assert rate == pytest.approx(0.5, abs=0.06)


def test_wins_independent_of_length_remain():
    random = np.random.default_rng(1)
    mine, gaps = (random.random(4000) < 0.7).tolist(), random.integers(-9, 10, size=4000)
    assert length_controlled_win_rate(mine, [0.5] * 4000, gaps.tolist(), [0] * 4000) == pytest.approx(
        0.7, abs=0.02
    )


@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.integers(-50, 50)), min_size=1, max_size=30))
def test_a_controlled_rate_is_a_rate_and_swapping_sides_mirrors_it(duels: list[tuple[int, int]]):
    wins, gaps = [win for win, _ in duels], [gap for _, gap in duels]
    nothing = [0] * len(duels)
    rate = length_controlled_win_rate(wins, nothing, gaps, nothing)
    assert 0 <= rate <= 1
    assert length_controlled_win_rate(nothing, wins, nothing, gaps) == pytest.approx(1 - rate, abs=1e-6)


def test_wins_perfectly_separated_by_length_still_give_a_rate():
    """One loss among forty, at the smallest gap: without the ridge term the regression would diverge."""
    gaps = [-40, *range(1, 40)]
    rate = length_controlled_win_rate([float(gap > 0) for gap in gaps], [0.5] * 40, gaps, [0] * 40)
    assert 0.9 < rate < 1


def test_distinct_n_by_hand():
    rows = [[1, 2, 1, 2], [1, 2], [3]]
    assert distinct(rows, 1) == 3 / 7
    assert distinct(rows, 2) == 2 / 4
    assert distinct(rows, 3) == 1
    assert distinct(rows, 5) == distinct([], 1) == 0
    assert distinct_responses(["yes", "no", "yes", "yes"]) == 0.5


def test_self_bleu_by_hand():
    # unigrams 3/4, bigrams 2/3 for both rows, of equal length
    assert self_bleu([[1, 2, 3, 4], [1, 2, 3, 5]], n=2) == pytest.approx((3 / 4 * 2 / 3) ** 0.5)
    # [1, 1]: one of two 1s is in the other row; [1]: 1 of 1, times the penalty exp(1 − 2/1) for being
    # shorter than its reference
    assert self_bleu([[1, 1], [1]], n=1) == pytest.approx((1 / 2 + np.exp(-1)) / 2)
    # the count that clips is the greatest in any one other row, not their sum
    assert self_bleu([[1, 1, 1], [1, 2, 3], [1, 4, 5]], n=1) == pytest.approx(1 / 3)


def test_self_bleu_counts_up_to_four_grams_and_penalises_against_the_nearest_length():
    # 4/5, 3/4, 2/3 and 1/2 of the n-grams are shared; of the runs of five none
    assert self_bleu([[1, 2, 3, 4, 5], [1, 2, 3, 4, 6]]) == pytest.approx(
        (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    )
    # two tokens are as near to one as to three, so the shorter counts, which costs nothing; one token:
    # exp(1 − 2/1)
    assert self_bleu([[1, 1], [1], [1, 1, 1]], n=1) == pytest.approx((1 + np.exp(-1) + 2 / 3) / 3)
    # lengths 2, 4 and 5: penalties e^(1 - 4/2) for 2, e^(1 - 5/4) for 4, none for 5, of which 4 of 5 tokens
    # match
    assert self_bleu([[1] * 2, [1] * 4, [1] * 5], n=1) == pytest.approx(
        (np.exp(-1) + np.exp(-1 / 4) + 4 / 5) / 3
    )


def test_equal_rows_have_self_bleu_one_and_disjoint_rows_zero():
    assert self_bleu([[1, 2, 3, 4, 5]] * 3) == pytest.approx(1)
    assert self_bleu([[1], [1]]) == pytest.approx(1), "shorter than four tokens"
    assert self_bleu([[1, 2], [3, 4]]) == self_bleu([[1, 2]]) == self_bleu([]) == 0
    assert self_bleu([[], [1, 2]]) == 0


@given(st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=2, max_size=6))
def test_self_bleu_is_within_zero_and_one_and_independent_of_row_order(rows: list[list[int]]):
    assert 0 <= self_bleu(rows) <= 1 + 1e-12
    assert self_bleu(rows[::-1]) == pytest.approx(self_bleu(rows))
