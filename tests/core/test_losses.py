"""The losses at numbers worked by hand, and their invariances."""

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from alignloop.core.lm_loss import language_model_loss
from alignloop.core.ppo_losses import policy_loss, value_loss
from alignloop.core.ranking_loss import ranking_loss
from alignloop.core.ranking_pairs import pairs_of

HALF = math.log(2)  # −log σ(0)
ONE, TWO = 0.3132617, 0.1269280  # −log σ(1), −log σ(2)


def loss_of(scores: list[float], ranks: list[int]) -> float:
    return float(ranking_loss(torch.tensor(scores), ranks))


def close(mine: float | Tensor, expected: float) -> None:
    assert float(torch.as_tensor(mine).detach()) == pytest.approx(expected, abs=1e-6)


def test_a_ranking_of_two_by_hand():
    close(loss_of([1.0, 0.0], [1, 2]), ONE)
    close(loss_of([1.0, 0.0], [2, 1]), ONE + 1)
    close(loss_of([3.0, 3.0], [1, 2]), HALF)


def test_a_ranking_of_three_is_the_mean_over_its_three_pairs():
    close(loss_of([2.0, 1.0, 0.0], [1, 2, 3]), (ONE + TWO + ONE) / 3)


def test_a_tie_makes_no_pair():
    close(loss_of([1.0, 0.0, 0.0], [1, 1, 2]), (ONE + HALF) / 2)
    close(
        loss_of([1.0, 0.0, -9.0], [1, 2, 2]),
        (ONE + float(torch.nn.functional.softplus(torch.tensor(-10.0)))) / 2,
    )


def test_a_ranking_of_ties_only_has_no_loss_and_no_gradient():
    scores = torch.tensor([3.0, -2.0, 5.0], requires_grad=True)
    loss = ranking_loss(scores, [1, 1, 1])
    loss.backward()
    assert loss == 0
    assert scores.grad is not None
    assert scores.grad.tolist() == [0, 0, 0]


def test_a_margin_is_subtracted_from_the_score_gap():
    close(ranking_loss(torch.tensor([1.0, 0.0]), [1, 2], margin=1.0), HALF)
    close(ranking_loss(torch.tensor([2.0, 0.0]), [1, 2], margin=1.0), ONE)


def test_rao_and_kuppers_ties_by_hand():
    def chance(gap: float, ranks: list[int]) -> float:
        return math.exp(
            -float(
                ranking_loss(torch.tensor([gap, 0.0], dtype=torch.float64), ranks, math.log(2), "rao_kupper")
            )
        )

    # threshold log 2, so θ = 2: a wins with a / (a + 2b), and a tie has 3ab / ((a + 2b)(b + 2a))
    close(chance(0.0, [1, 2]), 1 / 3)
    close(chance(0.0, [1, 1]), 1 / 3)
    close(chance(math.log(2), [1, 2]), 1 / 2)
    close(chance(math.log(2), [2, 1]), 1 / 5)
    close(chance(math.log(2), [1, 1]), 3 / 10)


@given(st.floats(-20, 20), st.floats(0.01, 5))
def test_the_probabilities_of_win_loss_and_tie_add_up_to_one(gap: float, threshold: float):
    scores = torch.tensor([gap, 0.0], dtype=torch.float64)
    assert sum(
        math.exp(-float(ranking_loss(scores, ranks, threshold, "rao_kupper")))
        for ranks in ([1, 2], [2, 1], [1, 1])
    ) == pytest.approx(1)


def test_the_loss_of_a_tie_pulls_scores_together_and_counts_as_one_pair():
    scores = torch.tensor([1.0, 0.0, 0.0], requires_grad=True)
    loss = ranking_loss(scores, [1, 1, 2], math.log(2), "rao_kupper")
    apart = [
        float(ranking_loss(scores.detach()[pair], ranks, math.log(2), "rao_kupper"))
        for pair, ranks in (([0, 1], [1, 1]), ([0, 2], [1, 2]), ([1, 2], [1, 2]))
    ]
    close(loss, sum(apart) / 3)
    ranking_loss(scores, [1, 1, 1], 0.5, "rao_kupper").backward()
    assert scores.grad is not None
    assert scores.grad[0] > 0 > scores.grad[1] == scores.grad[2], "the highest falls, the others rise"


def test_the_gradient_pulls_better_and_worse_apart_equally():
    scores = torch.tensor([1.0, 0.0], requires_grad=True)
    ranking_loss(scores, [1, 2]).backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, torch.tensor([-0.2689414, 0.2689414]))  # σ(−1)


@given(
    st.lists(st.tuples(st.floats(-5, 5, width=32), st.integers(1, 4)), min_size=2, max_size=5),
    st.floats(-9, 9, width=32),
)
def test_a_rankings_loss_is_invariant_to_the_order_of_responses_and_a_shift_of_scores(
    responses: list[tuple[float, int]], shift: float
):
    expected = loss_of([score for score, _ in responses], [rank for _, rank in responses])
    for order in list(permutations(responses))[::7]:
        assert loss_of([score + shift for score, _ in order], [rank for _, rank in order]) == pytest.approx(
            expected, abs=1e-4
        )


@pytest.mark.parametrize("k", range(2, 10))
def test_k_responses_make_all_their_pairs(k: int):
    better, worse = pairs_of(list(range(k, 0, -1)))
    assert len({frozenset(pair) for pair in zip(better, worse, strict=True)}) == k * (k - 1) // 2
    assert all(b > w for b, w in zip(better, worse, strict=True)), (
        "ranks fall with the index here, so the later is the better"
    )


@pytest.mark.parametrize(
    ("advantage", "ratio", "loss", "gradient", "held"),
    [
        (2.0, 1.0, -2.0, -2.0, False),
        (2.0, 1.1, -2.2, -2.2, False),
        (2.0, 1.5, -2.4, 0.0, True),  # a good token becomes likelier by at most a fifth
        (2.0, 0.5, -1.0, -1.0, False),  # but one that became less likely recovers
        (-2.0, 1.5, 3.0, 3.0, False),
        (-2.0, 0.5, 1.6, 0.0, True),
    ],
)
def test_the_policy_loss_is_flat_beyond_the_clip_on_the_side_where_it_gains(
    advantage: float, ratio: float, loss: float, gradient: float, held: bool
):
    logprobs = torch.tensor([math.log(ratio) - 3], requires_grad=True)
    mine, clipped = policy_loss(logprobs, torch.tensor([-3.0]), torch.tensor([advantage]), clip=0.2)
    mine.backward()
    close(mine, loss)
    assert logprobs.grad is not None
    close(logprobs.grad[0], gradient)
    assert clipped.tolist() == [held]


@pytest.mark.parametrize(
    ("value", "target", "loss", "gradient", "held"),
    [
        (1.0, 2.0, 1.62, 0.0, True),  # moved further than 0.2 towards the return: ½(0.2 − 2)², flat
        (1.0, 0.0, 0.5, 1.0, False),  # moved away from it: ½(1 − 0)²
        (-1.0, -2.0, 1.62, 0.0, True),
        (0.1, 2.0, 1.805, -1.9, False),
    ],
)
def test_the_value_loss_is_flat_beyond_the_clip_around_the_old_value(
    value: float, target: float, loss: float, gradient: float, held: bool
):
    values = torch.tensor([value], requires_grad=True)
    mine, clipped = value_loss(values, torch.tensor([0.0]), torch.tensor([target]), clip=0.2)
    mine.backward()
    close(mine, loss)
    assert values.grad is not None
    close(values.grad[0], gradient)
    assert clipped.tolist() == [held]


def test_the_value_clip_is_relative_to_the_old_value():
    # old 3, moved to 4 towards a return of 5: held at 3.2, ½(3.2 − 5)²; the same three units lower
    for shift in (0.0, -3.0):
        close(
            value_loss(
                torch.tensor([4.0 + shift]),
                torch.tensor([3.0 + shift]),
                torch.tensor([5.0 + shift]),
                clip=0.2,
            )[0],
            1.62,
        )


def test_a_value_is_clipped_if_it_moved_beyond_the_clip_and_the_clipped_loss_is_greater():
    def held(value: float, old: float, target: float) -> list[bool]:
        return value_loss(torch.tensor([value]), torch.tensor([old]), torch.tensor([target]), clip=0.25)[
            1
        ].tolist()

    assert held(0.5, -0.5, 1.0) == [True], "it moved by one, although the two add up to 0"
    assert held(1.0, 1.0, 2.0) == [False], "it has not moved"
    assert held(1.0, 0.0, 0.625) == [False], "as far from the return with the clip as without it"


def test_per_token_losses_are_sums_so_parts_add_up():
    old, advantages = torch.zeros(4), torch.tensor([1.0, -1.0, 2.0, -2.0])
    logprobs = torch.tensor([0.3, 0.1, -0.5, -0.4])
    for loss in (policy_loss, value_loss):
        parts = [
            loss(logprobs[part], old[part], advantages[part], 0.2)[0] for part in (slice(0, 1), slice(1, 4))
        ]
        close(loss(logprobs, old, advantages, 0.2)[0], float(sum(parts)))


def test_a_uniform_language_model_has_a_loss_of_log_v_nats_per_token():
    close(language_model_loss(torch.zeros(3, 4), torch.tensor([0, 1, 3])), 3 * math.log(4))
