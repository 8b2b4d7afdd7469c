"""Best of n from one pool: compared with numbers worked by hand, and with every subset of n."""

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from alignloop.core.best_of_n import expected_value, kl_if_all_differ, kl_measured, win_probabilities


def row(*numbers: float) -> Tensor:
    return torch.tensor([numbers], dtype=torch.float64)


def test_win_probabilities_by_hand():
    # of the 6 pairs out of 4, the highest is the best of 3, the next of 2, the third of 1
    assert win_probabilities(row(0.1, 0.4, 0.2, 0.3), 2)[0].tolist() == pytest.approx(
        [0, 3 / 6, 1 / 6, 2 / 6]
    )
    assert win_probabilities(row(0.1, 0.4, 0.2, 0.3), 1).tolist() == [[0.25] * 4]
    assert win_probabilities(row(0.1, 0.4, 0.2, 0.3), 4).tolist() == [[0, 1, 0, 0]]


def test_equal_scores_have_equal_win_probabilities():
    # of the 3 pairs out of 3, two have the lowest and one of the equal ones, and one has both equal ones
    assert win_probabilities(row(1, 2, 2), 2).tolist() == [[0, 0.5, 0.5]]
    assert win_probabilities(row(7, 7, 7), 2)[0].tolist() == pytest.approx([1 / 3] * 3)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-5, 5)), min_size=2, max_size=6), st.data())
def test_the_estimate_is_the_mean_over_every_subset_of_n(pool: list[tuple[int, float]], data: st.DataObject):
    n = data.draw(st.integers(1, len(pool)))
    bests = []
    for subset in combinations(pool, n):
        top = max(score for score, _ in subset)
        winners = [value for score, value in subset if score == top]
        bests.append(sum(winners) / len(winners))
    estimate = expected_value(row(*(score for score, _ in pool)), row(*(value for _, value in pool)), n)
    assert float(estimate) == pytest.approx(sum(bests) / len(bests), abs=1e-9)


def test_n_larger_than_the_pool_is_refused():
    with pytest.raises(ValueError, match="best of 3 cannot be estimated from pools of 2"):
        win_probabilities(row(1, 2), 3)


def test_kl_by_hand():
    assert kl_if_all_differ(1) == 0
    assert kl_if_all_differ(2) == pytest.approx(math.log(2) - 0.5)
    # two scores, equally likely: best of 2 takes the higher with 3/4
    assert float(kl_measured(row(0, 0, 1, 1), 2)) == pytest.approx(
        0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    )
    assert float(kl_measured(row(5, 5, 5), 9)) == 0, "with equal scores the distribution does not change"


def test_the_measured_kl_equals_the_formula_where_no_two_scores_are_equal():
    pool = torch.rand(1, 4096, generator=torch.Generator().manual_seed(0))
    for n in (1, 2, 16, 256):
        assert float(kl_measured(pool, n)) == pytest.approx(kl_if_all_differ(n), abs=2e-3)
    assert kl_if_all_differ(512) - float(kl_measured(torch.rand(1, 512), 512)) == pytest.approx(
        0.04, abs=0.01
    )
