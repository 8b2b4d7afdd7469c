"""Losses on rankings: hand-worked values, and gradients of the formulas written out another way."""

from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from math import exp, log

import pytest
import torch
from torch import Tensor

from alignloop.core.dpo_losses import (
    desirability,
    dpo_loss,
    ipo_loss,
    kto_baseline,
    kto_loss,
    plackett_luce_loss,
)
from alignloop.core.ranking_loss import ranking_loss

RANKS = ([1, 2], [2, 1, 3], [1, 2, 2, 3], [1, 1, 2, 2], [3, 1, 1, 1, 2], [2, 1, 2, 2])
RATIOS = [1.3, -0.4, 0.7, 2.1, -1.5]


def value(found: Tensor) -> float:
    return round(float(found), 6)


def test_dpo_is_the_logistic_loss_of_scaled_gaps():
    """Gap 1, β ½: log(1 + e^−½); the other way round log(1 + e^½)."""
    ratios = torch.tensor([1.0, 0.0])
    assert value(dpo_loss(ratios, [1, 2], 0.5)) == 0.474077
    assert value(dpo_loss(ratios, [2, 1], 0.5)) == 0.974077
    assert value(dpo_loss(ratios, [1, 2], 0.5, 0.1)) == 0.524077  # 0.9 · 0.474077 + 0.1 · 0.974077
    assert value(dpo_loss(torch.zeros(3), [1, 2, 3], 9.0)) == 0.693147
    assert value(dpo_loss(ratios, [1, 1], 0.5)) == 0.0


def test_dpo_treats_ties_as_the_reward_model_does():
    """Equal responses tie with probability tanh(margin/2): margin 0.4, −log 0.197375."""
    assert value(dpo_loss(torch.zeros(2), [1, 1], 1.0, margin=0.4, ties="rao_kupper")) == 1.622648
    ratios = torch.tensor(RATIOS[:4])
    for ranks in (RANKS[2], RANKS[3]):
        mine = dpo_loss(ratios, ranks, 0.3, margin=0.4, ties="rao_kupper")
        assert torch.equal(mine, ranking_loss(0.3 * ratios, ranks, 0.4, "rao_kupper"))


def test_ipo_asks_for_a_gap_and_no_more():
    """β ½ asks for 1 nat: a gap of ¾ is ¼ short, and 1¾ from the opposite."""
    ratios = torch.tensor([1.0, 0.25])
    assert value(ipo_loss(ratios, [1, 2], 0.5)) == 0.0625
    assert value(ipo_loss(ratios, [1, 2], 0.5, 0.2)) == 0.6625  # 0.8 · 0.0625 + 0.2 · 3.0625
    assert value(ipo_loss(torch.tensor([1.0, 0.0, 1.0]), [1, 2, 1], 0.5)) == 0.0
    assert value(ipo_loss(ratios, [1, 1], 0.5)) == 0.0


def test_kto_takes_the_better_and_the_worse_half():
    assert desirability([1, 2]) == [1, -1]
    assert desirability([1, 2, 3]) == [1, 0, -1]
    assert desirability([1, 1, 2]) == [1, 1, -1]
    assert desirability([2, 1, 2, 2]) == [-1, 1, -1, -1]
    assert desirability([1, 1]) == [0, 0]
    # both are ¾ in scores on the right side of z₀ = ½: 1 − σ(¾) = 0.320821
    found = kto_loss(
        torch.tensor([2.0, -1.0]), [1, 2], 0.5, 0.5, desirable_weight=1.0, undesirable_weight=2.0
    )
    assert value(found) == 0.481232  # (1 + 2) · 0.320821 / 2
    assert value(kto_loss(torch.tensor([2.0, 9.0, -1.0]), [1, 2, 3], 0.5, 0.5)) == 0.320821
    assert value(kto_loss(torch.tensor([2.0, 1.0]), [1, 1], 0.5, 0.5)) == 0.0
    # a label says which it is: σ(¾) = 0.679179 on the wrong side
    assert value(kto_loss(torch.tensor([2.0]), [1], 0.5, 0.5, good=True)) == 0.320821
    wrong = kto_loss(torch.tensor([2.0]), [1], 0.5, 0.5, good=False, undesirable_weight=2.0)
    assert value(wrong) == 1.358357
    assert kto_baseline(torch.tensor([1.0, 2.0])) == 1.5
    assert kto_baseline(torch.tensor([1.0, -2.0])) == 0.0
    assert kto_baseline(torch.empty(0)) == 0.0


def test_the_k_way_loss_is_that_of_choosing_one_after_the_other():
    """Of e², e and 1: e²/(e² + e + 1), then e/(e + 1)."""
    ratios = torch.tensor([2.0, 1.0, 0.0])
    first, then = exp(2) / (exp(2) + exp(1) + 1), exp(1) / (exp(1) + 1)
    assert value(plackett_luce_loss(ratios, [1, 2, 3], 1.0)) == round(-log(first * then), 6) == 0.720868
    assert value(plackett_luce_loss(ratios / 0.1, [1, 2, 3], 0.1)) == 0.720868
    two = torch.tensor([1.0, 0.0])
    assert value(plackett_luce_loss(two, [1, 2], 0.5, 0.1)) == 0.524077  # as DPO


def test_a_tie_in_a_k_way_ranking_leaves_its_order_open():
    """Weights 1, 2, 1: the first two before the third in ¼·⅔ + ½·½ = 5/12 of orders, the first alone in ¼."""
    ratios = torch.tensor([0.0, log(2), 0.0])
    assert value(plackett_luce_loss(ratios, [1, 1, 2], 1.0)) == round(log(12 / 5), 6)
    assert value(plackett_luce_loss(ratios, [1, 2, 2], 1.0)) == round(log(4), 6)
    assert value(plackett_luce_loss(ratios, [1, 1, 1], 1.0)) == 0.0
    assert value(plackett_luce_loss(torch.zeros(13), [1] * 12 + [2], 1.0)) == round(log(13), 5)


def by_orders(ratios: Tensor, ranks: Sequence[int], beta: float) -> Tensor:
    """−log of the summed probability of every order that the ranks allow."""
    worth, total = (beta * ratios).exp(), torch.zeros((), dtype=ratios.dtype)
    for order in permutations(range(len(ranks))):
        if [ranks[place] for place in order] == sorted(ranks):
            ways = torch.ones((), dtype=ratios.dtype)
            for step, place in enumerate(order):
                ways = ways * worth[place] / worth[list(order[step:])].sum()
            total = total + ways
    return -total.log()


def by_pairs(of_pair: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Sequence[int], float], Tensor]:
    def loss(ratios: Tensor, ranks: Sequence[int], beta: float) -> Tensor:
        gaps = [
            (ratios[a] - ratios[b]) * (1 if ranks[a] < ranks[b] else -1)
            for a, b in combinations(range(len(ranks)), 2)
            if ranks[a] != ranks[b]
        ]
        return torch.stack([of_pair(gap) for gap in gaps]).mean()

    return loss


def by_halves(ratios: Tensor, ranks: Sequence[int], beta: float) -> Tensor:
    parts = []
    for ratio, rank in zip(ratios, ranks, strict=True):
        better, worse = sum(each > rank for each in ranks), sum(each < rank for each in ranks)
        if better > worse:
            parts.append(3.0 * (1 - 1 / (1 + torch.exp(-beta * (ratio - 0.2)))))
        elif worse > better:
            parts.append(0.5 * (1 - 1 / (1 + torch.exp(-beta * (0.2 - ratio)))))
    return torch.stack(parts).mean()


BETA = 0.7
FORMULAS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "dpo": (dpo_loss, by_pairs(lambda gap: torch.log1p(torch.exp(-BETA * gap)))),
    "dpo, smoothed": (
        lambda ratios, ranks, beta: dpo_loss(ratios, ranks, beta, 0.2),
        by_pairs(
            lambda gap: 0.8 * torch.log1p(torch.exp(-BETA * gap)) + 0.2 * torch.log1p(torch.exp(BETA * gap))
        ),
    ),
    "ipo": (ipo_loss, by_pairs(lambda gap: (gap - 1 / 1.4) ** 2)),
    "kto": (
        lambda ratios, ranks, beta: kto_loss(
            ratios, ranks, beta, 0.2, desirable_weight=3.0, undesirable_weight=0.5
        ),
        by_halves,
    ),
    "ranking": (plackett_luce_loss, by_orders),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_and_gradients_are_those_of_the_formula(name: str):
    loss, formula = FORMULAS[name]
    for ranks in RANKS:
        mine = torch.tensor(RATIOS[: len(ranks)], dtype=torch.float64, requires_grad=True)
        theirs = mine.detach().clone().requires_grad_(True)
        one, other = loss(mine, ranks, BETA), formula(theirs, ranks, BETA)
        torch.testing.assert_close(one.double(), other, rtol=1e-6, atol=1e-9)
        one.backward()
        other.backward()
        assert mine.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-6, atol=1e-9)
        assert float(theirs.grad.abs().sum()) > 0


@pytest.mark.parametrize("loss", [dpo_loss, ipo_loss, plackett_luce_loss])
def test_huge_log_ratios_have_finite_losses_and_gradients(loss: Callable[..., Tensor]):
    ratios = torch.tensor([-3e3, 2e3, 5e3, -1e3], requires_grad=True)
    found = loss(ratios, [1, 1, 2, 3], 1.0)
    found.backward()
    assert torch.isfinite(found)
    assert ratios.grad is not None
    assert torch.isfinite(ratios.grad).all()
