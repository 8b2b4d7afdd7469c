"""Win rates, their intervals and diversity, by hand."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alignloop.core.metrics import (
    distinct,
    distinct_answers,
    in_words,
    length_controlled_win_rate,
    self_bleu,
    share,
    win_rate,
)


def test_a_win_rate_by_hand_counts_ties_as_half():
    rate = win_rate([3, 1, 2, 5, 2], [1, 2, 2, 4, 2])
    assert (rate.rate, rate.n, rate.ties) == (0.6, 5, 0.4)
    assert win_rate([1.0 + 1e-12], [1.0]).ties == 1, "rounding is no win"
    assert win_rate([1, 2], [2, 3]).as_dict()["rate"] == 0


def test_a_gap_that_is_tolerated_is_a_tie_on_either_side():
    assert win_rate([0.5, 0.0], [0.0, 0.5], tolerance=0.5).ties == 1
    assert (win_rate([0.6], [0.0], tolerance=0.5).rate, win_rate([0.0], [0.6], tolerance=0.5).rate) == (1, 0)


def test_a_share_is_written_with_six_decimals_and_in_words_with_three():
    # one of three: centre (1/3 + 1.96²/6) / (1 + 1.96²/3), half 1.96 · √(2/27 + 1.96²/36) / (1 + 1.96²/3)
    win = share([1.0, 0.0, 0.0])
    assert win.as_dict() == {"rate": 0.333333, "low": 0.06149, "high": 0.792345, "n": 3, "ties": 0}
    assert in_words(win.as_dict()) == "0.333 [0.061, 0.792] on 3 prompts"
    assert share([1.0, 0.25, 0.0, 0.75]).ties == 0.5, "what is neither won nor lost"


def test_the_interval_is_wilsons():
    # n = 100, p = 0.6, z = 1.96: centre (0.6 + 0.019208) / 1.038416, half 1.96 · √(0.0024 + 0.00009604) / 1.038416
    rate = win_rate([1] * 60 + [0] * 40, [0] * 60 + [1] * 40)
    assert (rate.low, rate.high) == (pytest.approx(0.502002, abs=1e-5), pytest.approx(0.690600, abs=1e-5))


def test_five_wins_of_five_do_not_make_certainty():
    rate = win_rate([1] * 5, [0] * 5)
    assert rate.rate == rate.high == 1
    assert rate.low == pytest.approx(0.565508, abs=1e-5), "5 / (5 + 1.96²)"
    assert win_rate([1], [0]).low == pytest.approx(0.206543, abs=1e-5)


@example([(1, 0)] * 6)  # where rounding once put the upper bound below 1
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_the_interval_holds_the_rate_and_swapping_sides_mirrors_it(scores: list[tuple[int, int]]):
    mine, theirs = [a for a, _ in scores], [b for _, b in scores]
    one, other = win_rate(mine, theirs), win_rate(theirs, mine)
    assert 0 <= one.low <= one.rate <= one.high <= 1
    assert (one.rate, one.low, one.high) == pytest.approx((1 - other.rate, 1 - other.high, 1 - other.low))


def test_the_interval_covers_the_truth_about_95_times_in_100():
    random = np.random.default_rng(0)
    rates = [win_rate((random.random(80) < 0.9).tolist(), [0.5] * 80) for _ in range(1000)]
    covered = sum(rate.low <= 0.9 <= rate.high for rate in rates)
    assert 930 <= covered <= 975


def test_at_equal_lengths_controlling_for_length_changes_nothing():
    mine, theirs = [3, 1, 2, 5, 2], [1, 2, 2, 4, 2]
    assert (
        length_controlled_win_rate(mine, theirs, [7, 8, 9, 1, 2], [7, 8, 9, 1, 2])
        == win_rate(mine, theirs).rate
    )


def test_wins_that_length_alone_explains_vanish():
    random = np.random.default_rng(0)
    gaps = random.integers(-20, 21, size=400)
    raw = (
        gaps + random.normal(0, 4, size=400) > -10
    ).tolist()  # longer answers win, and mine are favoured at equal length
    assert (
        length_controlled_win_rate(raw, [0.5] * 400, gaps.tolist(), [0] * 400)
        > win_rate(raw, [0.5] * 400).rate + 0.1
    )
    by_length = np.sign(
        gaps + 12
    ).tolist()  # my answers are longer by twelve on average, and the longer one always wins
    rate = length_controlled_win_rate(by_length, [0] * 400, (gaps + 12).tolist(), [0] * 400)
    assert win_rate(by_length, [0] * 400).rate > 0.75
    assert rate == pytest.approx(0.5, abs=0.06)


def test_wins_that_have_nothing_to_do_with_length_stay():
    random = np.random.default_rng(1)
    mine, gaps = (random.random(4000) < 0.7).tolist(), random.integers(-9, 10, size=4000)
    assert length_controlled_win_rate(mine, [0.5] * 4000, gaps.tolist(), [0] * 4000) == pytest.approx(
        0.7, abs=0.02
    )


@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.integers(-50, 50)), min_size=1, max_size=30))
def test_a_controlled_rate_is_a_rate_and_swapping_sides_mirrors_it(duels: list[tuple[int, int]]):
    wins, gaps, nothing = [win for win, _ in duels], [gap for _, gap in duels], [0] * len(duels)
    rate = length_controlled_win_rate(wins, nothing, gaps, nothing)
    assert 0 <= rate <= 1
    assert length_controlled_win_rate(nothing, wins, nothing, gaps) == pytest.approx(1 - rate, abs=1e-6)


def test_wins_that_length_separates_perfectly_still_give_a_rate():
    """One loss among forty, at the shortest gap of all: the regression could separate it for ever, and the ridge ends that."""
    gaps = [-40, *range(1, 40)]
    rate = length_controlled_win_rate([float(gap > 0) for gap in gaps], [0.5] * 40, gaps, [0] * 40)
    assert 0.9 < rate < 1


def test_distinct_n_by_hand():
    rows = [[1, 2, 1, 2], [1, 2], [3]]
    assert distinct(rows, 1) == 3 / 7
    assert distinct(rows, 2) == 2 / 4
    assert distinct(rows, 3) == 1
    assert distinct(rows, 5) == distinct([], 1) == 0
    assert distinct_answers(["yes", "no", "yes", "yes"]) == 0.5


def test_self_bleu_by_hand():
    # unigrams 3/4, bigrams 2/3 for both rows, of equal length
    assert self_bleu([[1, 2, 3, 4], [1, 2, 3, 5]], n=2) == pytest.approx((3 / 4 * 2 / 3) ** 0.5)
    # [1, 1]: one of two 1s is in the other row; [1]: 1 of 1, times the penalty exp(1 − 2/1) for being shorter than its reference
    assert self_bleu([[1, 1], [1]], n=1) == pytest.approx((1 / 2 + np.exp(-1)) / 2)
    # the count that clips is the greatest in any one other row, not their sum
    assert self_bleu([[1, 1, 1], [1, 2, 3], [1, 4, 5]], n=1) == pytest.approx(1 / 3)


def test_self_bleu_goes_up_to_four_tokens_and_to_the_nearest_length_the_shorter_of_two():
    # 4/5, 3/4, 2/3 and 1/2 of the n-grams are shared; of the runs of five none
    assert self_bleu([[1, 2, 3, 4, 5], [1, 2, 3, 4, 6]]) == pytest.approx(
        (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    )
    # two tokens are as near to one as to three, and not shorter than the former; one token pays exp(1 − 2/1), three pay nothing
    assert self_bleu([[1, 1], [1], [1, 1, 1]], n=1) == pytest.approx((1 + np.exp(-1) + 2 / 3) / 3)
    # of 2, 4 and 5 tokens: 4 is nearest to 2, which pays e^(1 - 4/2), 5 to 4, which pays e^(1 - 5/4), and 4 to 5, of which one is too many
    assert self_bleu([[1] * 2, [1] * 4, [1] * 5], n=1) == pytest.approx(
        (np.exp(-1) + np.exp(-1 / 4) + 4 / 5) / 3
    )


def test_rows_alike_have_self_bleu_one_and_rows_apart_zero():
    assert self_bleu([[1, 2, 3, 4, 5]] * 3) == pytest.approx(1)
    assert self_bleu([[1], [1]]) == pytest.approx(1), "shorter than four tokens"
    assert self_bleu([[1, 2], [3, 4]]) == self_bleu([[1, 2]]) == self_bleu([]) == 0
    assert self_bleu([[], [1, 2]]) == 0


@given(st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=2, max_size=6))
def test_self_bleu_is_a_share_that_the_order_of_rows_does_not_change(rows: list[list[int]]):
    assert 0 <= self_bleu(rows) <= 1 + 1e-12
    assert self_bleu(rows[::-1]) == pytest.approx(self_bleu(rows))
