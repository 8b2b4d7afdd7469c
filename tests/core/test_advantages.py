"""Rewards, advantages and whitening at numbers worked by hand; values outside the mask have no effect."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from alignloop.core.advantages import explained_variance, gae, grpo, rloo, token_rewards, whiten


def rows(*lengths: int, width: int) -> Tensor:
    return torch.tensor([[t < length for t in range(width)] for length in lengths])


def close(mine: Tensor, expected: list) -> None:
    torch.testing.assert_close(mine, torch.tensor(expected), atol=1e-6, rtol=0)


def test_the_score_is_added_at_the_last_token_and_kl_is_penalised_at_every_token():
    kl = torch.tensor([[1.0, 2.0, 7.0], [3.0, 7.0, 7.0], [1.0, -1.0, 4.0]])
    rewards = token_rewards(torch.tensor([10.0, 20.0, 30.0]), kl, rows(2, 1, 3, width=3), kl_coef=0.5)
    close(rewards, [[-0.5, 9.0, 0.0], [18.5, 0.0, 0.0], [-0.5, 0.5, 28.0]])


def test_advantages_at_lambda_one_are_later_rewards_minus_the_value():
    values, rewards = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[1.0, 0.0, 10.0]])
    advantages, returns = gae(values, rewards, rows(3, width=3), gamma=1.0, lam=1.0)
    close(advantages, [[10.0, 8.0, 6.0]])
    close(returns, [[11.0, 10.0, 10.0]])


def test_advantages_at_lambda_zero_are_one_step_errors():
    values, rewards = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[1.0, 0.0, 10.0]])
    advantages, returns = gae(values, rewards, rows(3, width=3), gamma=1.0, lam=0.0)
    close(advantages, [[2.0, 2.0, 6.0]])
    close(returns, [[3.0, 4.0, 10.0]])


def test_gamma_and_lambda_both_discount():
    # errors: 4 − 2 = 2 at the end, 3 + ½·2 − 1 = 3 before; advantage there 3 + ½·½·2
    advantages, returns = gae(
        torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), rows(2, width=2), gamma=0.5, lam=0.5
    )
    close(advantages, [[3.5, 2.0]])
    close(returns, [[4.5, 4.0]])


@pytest.mark.parametrize("junk", [0.0, 99.0, -1e6])
def test_padding_does_not_affect_responses_of_any_length(junk: float):
    mask = rows(1, 3, 2, width=3)
    values = torch.tensor([[5.0, 0, 0], [1.0, 2.0, 4.0], [1.0, 2.0, 0]]).masked_fill(~mask, junk)
    rewards = torch.tensor([[7.0, 0, 0], [1.0, 0.0, 10.0], [0.0, 3.0, 0]]).masked_fill(~mask, junk)
    advantages, returns = gae(values, rewards, mask, gamma=1.0, lam=1.0)
    close(advantages, [[2.0, 0, 0], [10.0, 8.0, 6.0], [2.0, 1.0, 0]])
    close(returns, [[7.0, 0, 0], [11.0, 10.0, 10.0], [3.0, 3.0, 0]])


def test_whitening_removes_or_keeps_the_mean_and_is_zero_outside_the_mask():
    x, mask = torch.tensor([[2.0, 100.0], [6.0, -100.0]]), rows(1, 1, width=2)
    close(whiten(x, mask), [[-1.0, 0.0], [1.0, 0.0]])
    close(whiten(x, mask, shift_mean=False), [[3.0, 0.0], [5.0, 0.0]])


def test_whitened_numbers_have_mean_zero_and_variance_one():
    x = torch.randn(5, 9, generator=torch.Generator().manual_seed(0)) * 7 + 3
    mask = rows(9, 1, 4, 8, 2, width=9)
    chosen = whiten(x, mask)[mask]
    assert chosen.mean().abs() < 1e-6
    assert chosen.var(correction=0).sub(1).abs() < 1e-5
    assert whiten(x, mask, shift_mean=False)[mask].mean().sub(x[mask].mean()).abs() < 1e-5


def test_equal_numbers_whiten_to_zero():
    assert whiten(torch.full((2, 3), 4.0), rows(3, 1, width=3)).abs().max() == 0
    assert whiten(torch.tensor([[4.0]]), rows(1, width=1)).tolist() == [[0.0]]


def test_explained_variance_is_one_for_a_perfect_and_zero_for_a_constant_value_model():
    returns, mask = torch.tensor([[1.0, 3.0, 50.0]]), rows(2, width=3)
    assert explained_variance(returns, returns, mask) == 1
    assert explained_variance(torch.full((1, 3), 7.0), returns, mask) == 0
    assert explained_variance(torch.tensor([[3.0, 1.0, 0.0]]), returns, mask) == -3, (
        "errors of −2 and 2 against a spread of −1 and 1"
    )
    assert explained_variance(returns, torch.ones(1, 3), mask) == 0, "there is no variance to explain"


def test_leave_one_out_advantages_by_hand():
    # of (1, 2, 6) the others' means are 4, 3.5 and 1.5; of (5, 5, 8) they are 6.5, 6.5 and 5
    close(rloo(torch.tensor([1.0, 2, 6, 5, 5, 8]), 3), [-3.0, -1.5, 4.5, -1.5, -1.5, 3.0])
    close(rloo(torch.tensor([1.0, 3.0]), 2), [-2.0, 2.0])


def test_group_relative_advantages_by_hand():
    # (0, 4): mean 2, deviation 2; (7, 7): no deviation, and no advantage either
    close(grpo(torch.tensor([0.0, 4.0, 7.0, 7.0]), 2), [-1.0, 1.0, 0.0, 0.0])
    close(grpo(torch.tensor([1.0, 1, 1, 5]), 4), [-(3**-0.5)] * 3 + [3**0.5])


@pytest.mark.parametrize("estimate", [rloo, grpo])
def test_a_groups_advantages_add_up_to_zero_and_do_not_depend_on_its_mean_reward(
    estimate: Callable[[Tensor, int], Tensor],
):
    rewards = torch.randn(12, generator=torch.Generator().manual_seed(0))
    advantages = estimate(rewards, 4)
    assert advantages.view(3, 4).sum(1).abs().max() < 1e-5
    shifted = estimate(rewards + torch.tensor([5.0, -2.0, 0.0]).repeat_interleave(4), 4)
    torch.testing.assert_close(shifted, advantages, atol=1e-5, rtol=0)
    assert torch.equal(
        estimate(rewards.view(3, 4)[[2, 0, 1]].flatten(), 4).view(3, 4), advantages.view(3, 4)[[2, 0, 1]]
    )


def test_leave_one_out_scales_with_rewards_and_group_relative_does_not():
    rewards = torch.randn(8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(rloo(10 * rewards, 4), 10 * rloo(rewards, 4))
    torch.testing.assert_close(grpo(10 * rewards, 4), grpo(rewards, 4), atol=1e-5, rtol=0)
