"""Reward model metrics at numbers worked by hand."""

import math

import pytest
import torch
from torch import Tensor

from alignloop.core.reward_metrics import (
    accuracy,
    by_group,
    by_rank_distance,
    calibration,
    correlation,
    length_correlation,
)

SCORES = [torch.tensor([3.0, 1.0, 2.0]), torch.tensor([0.0, 0.0]), torch.tensor([1.0, 5.0])]
RANKS = [[1, 2, 3], [2, 1], [1, 1]]  # right, right, wrong; equal scores; a tie, which is no pair


def logit(chance: float) -> float:
    return math.log(chance / (1 - chance))


def gap(chance: float) -> Tensor:
    """Two scores that give the first response this probability."""
    return torch.tensor([logit(chance), 0.0], dtype=torch.float64)


def test_accuracy_as_a_whole_and_by_group():
    assert accuracy(SCORES, RANKS) == {"pairs": 4, "accuracy": 2.5 / 4}
    assert accuracy([], []) == {"pairs": 0, "accuracy": None}
    groups = by_group(SCORES, RANKS, ["b", "a", "a"])
    assert groups == {"a": {"pairs": 1, "accuracy": 0.5}, "b": {"pairs": 3, "accuracy": 2 / 3}}
    assert list(groups) == ["a", "b"]


def test_accuracy_by_rank_distance():
    # one apart: 3 > 1 right, 1 > 2 wrong, and equal scores; two apart: 3 > 2 right
    assert by_rank_distance(SCORES, RANKS) == {
        "1": {"pairs": 3, "accuracy": 1.5 / 3},
        "2": {"pairs": 1, "accuracy": 1.0},
    }


def test_a_wrong_pair_counts_nothing_and_equal_scores_a_half():
    for scores, right in (([1.0, 2.0], 0.0), ([2.0, 2.0], 0.5), ([2.0, 1.0], 1.0)):
        assert by_rank_distance([torch.tensor(scores)], [[1, 2]]) == {"1": {"pairs": 1, "accuracy": right}}
        assert calibration([torch.tensor(scores)], [[1, 2]])["bins"][0]["right"] == right


def test_scores_that_do_not_match_the_rankings_are_refused():
    for measure in (by_rank_distance, calibration):
        with pytest.raises(ValueError, match="longer"):
            measure(SCORES[:2], RANKS)
    with pytest.raises(ValueError, match="longer"):
        correlation([1.0], [1.0, -1.0])


def test_the_ten_bins_are_equal_parts_and_certainty_is_in_the_last():
    chances = [0.525 + 0.05 * place for place in range(10)]
    result = calibration([gap(chance) for chance in chances], [[1, 2]] * 10)
    assert [(each["pairs"], each["chance"]) for each in result["bins"]] == [
        (1, pytest.approx(chance)) for chance in chances
    ]
    assert [
        each["pairs"] for each in calibration([gap(0.975), torch.tensor([900.0, 0.0])], [[1, 2]] * 2)["bins"]
    ] == [2]


def test_a_correlation_is_independent_of_scale():
    assert correlation([1e-3, -1e-3], [2e-3, -2e-3]) == pytest.approx(1)
    assert correlation([0.0, 0.0], [1.0, -1.0]) is None


def test_a_calibrated_model_has_no_calibration_error():
    sure = calibration([gap(0.75)] * 4, [[1, 2]] * 3 + [[2, 1]])
    assert sure["expected_error"] == pytest.approx(0)
    [only] = sure["bins"]
    assert only == {"pairs": 4, "chance": pytest.approx(0.75), "right": 0.75}


def test_the_calibration_error_weights_bins_by_their_pairs():
    # three pairs at 0.62, of which one is right, and one at 0.97 that is right: (3 · (0.62 − 1/3) + 1 ·
    # 0.03) / 4
    result = calibration([gap(0.62)] * 3 + [gap(0.97)], [[1, 2], [2, 1], [2, 1], [1, 2]])
    assert [each["pairs"] for each in result["bins"]] == [3, 1]
    assert result["expected_error"] == pytest.approx((3 * (0.62 - 1 / 3) + 0.03) / 4)
    assert calibration([], []) == {"expected_error": None, "bins": []}


def test_calibration_uses_the_scale_and_the_tie_threshold():
    assert calibration([gap(0.75) / 4], [[1, 2]], scale=4.0)["bins"][0]["chance"] == pytest.approx(0.75)
    # θ = 2 and a worth twice b: a wins with 1/2, loses with 1/5 (see the losses), so of the pairs without a
    # tie it wins 5/7
    result = calibration(
        [torch.tensor([math.log(2), 0.0], dtype=torch.float64)], [[1, 2]], threshold=math.log(2)
    )
    assert result["bins"][0]["chance"] == pytest.approx(5 / 7)


def test_the_length_correlation_is_within_the_responses_to_one_prompt():
    scores = [torch.tensor([1.0, 2.0]), torch.tensor([-9.0, -7.0])]
    result = length_correlation(scores, [[2, 1], [1, 2]], [[3, 5], [40, 44]])
    # centred scores ∓½ and ∓1, lengths ∓1 and ∓2: in step; centred −ranks ∓½ and ±½: Σxy = 1 − 2 = −1,
    # spreads √1 and √10
    assert result["score"] == pytest.approx(1)
    assert result["labelers"] == pytest.approx(-1 / math.sqrt(10))
    assert length_correlation(scores, [[1, 1], [1, 1]], [[3, 5], [40, 44]])["labelers"] is None
