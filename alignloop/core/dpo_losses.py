"""Losses that learn a policy from rankings without a reward model, of a policy's log-ratios.

The log-ratio of a response is log π(y|x) − log π_ref(y|x) in nats; β times it is the policy's implicit score
(arXiv 2305.18290, eq. 5). All losses are those of one ranking: `ratios` (K,) of its K responses, and their
ranks, 1 the best.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from alignloop.core.ranking_loss import Ties, ranking_loss
from alignloop.core.ranking_pairs import pairs_of


def dpo_loss(
    ratios: Tensor,
    ranks: Sequence[int],
    beta: float,
    label_smoothing: float = 0.0,
    *,
    margin: float = 0.0,
    ties: Ties = "skip",
) -> Tensor:
    """Direct preference optimisation (arXiv 2305.18290, eq. 7) in nats, mean over the ranking's pairs.

    It is `ranking_loss`, that of reward models, of the implicit scores: −log σ(β·gap − margin) a pair, with
    ties as there (Rao and Kupper's in DPO: arXiv 2409.17431). With `label_smoothing` ε, each comparison was
    given the wrong way round with probability ε: (1 − ε)·L(gap) + ε·L(−gap) (conservative DPO).
    """
    scores = beta * ratios
    given = ranking_loss(scores, ranks, margin, ties)
    if not label_smoothing:
        return given
    turned = ranking_loss(-scores, ranks, margin, ties)
    return (1 - label_smoothing) * given + label_smoothing * turned


def ipo_loss(ratios: Tensor, ranks: Sequence[int], beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Identity preference optimisation (arXiv 2310.12036, eq. 17) in nats squared, mean over the pairs.

    (gap − 1/(2β))² a pair: the log-ratios shall differ by 1/(2β) nats, and no more. Smoothed as DPO. A tie
    makes no pair; a ranking without pairs has loss 0.
    """
    better, worse = pairs_of(ranks)
    if not better:
        return ratios.sum() * 0.0
    gaps, target = ratios[better] - ratios[worse], 1 / (2 * beta)
    given, turned = (gaps - target) ** 2, (gaps + target) ** 2
    return ((1 - label_smoothing) * given + label_smoothing * turned).mean()


def desirability(ranks: Sequence[int]) -> list[int]:
    """1 for each response that is better than more responses than are better than it, −1 for the opposite.

    0 where both are as many: it is neither desirable nor undesirable. Of two responses that differ, the
    better one is desirable, as KTO reads pairs.
    """
    wins = [sum(other > rank for other in ranks) - sum(other < rank for other in ranks) for rank in ranks]
    return [(win > 0) - (win < 0) for win in wins]


def kto_loss(
    ratios: Tensor,
    ranks: Sequence[int],
    beta: float,
    baseline: float,
    *,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
    good: bool | None = None,
) -> Tensor:
    """Kahneman-Tversky optimisation (arXiv 2402.01306, eq. 8), mean over the responses that are either.

    λ_D·(1 − σ(β(ratio − z₀))) of a desirable response, λ_U·(1 − σ(β(z₀ − ratio))) of an undesirable one.
    `baseline` is z₀ in nats (`kto_baseline`). A ranking in which no response is either has loss 0. A binary
    label (`good`) says of its one response (K = 1) which it is.
    """
    signs = desirability(ranks)
    if good is not None:
        signs = [1 if good else -1]
    chosen = [place for place, sign in enumerate(signs) if sign]
    if not chosen:
        return ratios.sum() * 0.0
    sign = torch.tensor([float(signs[place]) for place in chosen])
    weight = torch.where(sign > 0, desirable_weight, undesirable_weight)
    return (weight * (1 - torch.sigmoid(beta * sign * (ratios[chosen] - baseline)))).mean()


def kto_baseline(ratios: Tensor) -> float:
    """z₀ of KTO: the mean log-ratio (N,) of responses to other prompts than their own, at least 0, in nats.

    It estimates KL(π ‖ π_ref), and has no gradient.
    """
    return max(0.0, float(ratios.detach().mean())) if len(ratios) else 0.0


def plackett_luce_loss(
    ratios: Tensor, ranks: Sequence[int], beta: float, label_smoothing: float = 0.0
) -> Tensor:
    """K-way DPO: −log P(ranking) in nats under Plackett and Luce (arXiv 2305.18290, appendix A.3).

    Responses are chosen one after the other, each with probability exp(score) as a share of those left. A
    tie says nothing of the order of its responses: P is the sum over all orders that the ranking allows
    (marginal likelihood of ranks: Kalbfleisch and Prentice, Biometrika 1973). So two responses that differ
    have DPO's loss, and a ranking of ties alone has loss 0. With `label_smoothing` ε the ranking was given
    upside down with probability ε.
    """
    given = -_log_probability(beta * ratios, ranks)
    if not label_smoothing:
        return given
    turned = -_log_probability(beta * ratios, [-rank for rank in ranks])
    return (1 - label_smoothing) * given + label_smoothing * turned


def _log_probability(scores: Tensor, ranks: Sequence[int]) -> Tensor:
    """The log-probability of the ranks, 0 where all are equal."""
    found = scores.sum() * 0.0
    for rank in sorted(set(ranks))[:-1]:  # the last ones are chosen in some order for certain
        tied = [place for place, each in enumerate(ranks) if each == rank]
        later = [place for place, each in enumerate(ranks) if each > rank]
        found = found + _chosen_first(scores[tied], torch.logsumexp(scores[later], 0))
    return found


def _chosen_first(tied: Tensor, others: Tensor) -> Tensor:
    """Log-probability that the tied responses are chosen, in any order, before the others.

    `tied` (T,) are scores, `others` the log of the summed exp(score) of the others. Sums over the 2^T sets of
    responses that have been chosen, by their number, instead of over T! orders.
    """
    count = len(tied)
    sets = torch.arange(2**count)
    members = (sets[:, None] >> torch.arange(count) & 1).bool()
    absent = tied.expand(len(sets), -1).masked_fill(members, -torch.inf)
    left = torch.logsumexp(torch.cat([absent, others.expand(len(sets), 1)], 1), 1)  # what is still to choose
    reached = tied.new_zeros(len(sets))  # log-probability that the first ones chosen are exactly this set
    for size in range(1, count + 1):
        grown = sets[members.sum(1) == size]
        last = members[grown].nonzero()[:, 1].view(len(grown), size)
        before = grown[:, None] - (1 << last)
        ways = reached[before] + tied[last] - left[before]
        reached = reached.index_copy(0, grown, torch.logsumexp(ways, 1))
    return reached[-1]
