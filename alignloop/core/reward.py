"""Reward model training: all C(K, 2) pairs of a ranking in one batch element (arXiv 2203.02155, §3.5).

The K responses to a prompt branch from it in one packed row, so that the prompt is computed once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Unpack

import torch
from torch import Tensor

from alignloop.core.batches import by_length
from alignloop.core.losses import Ties, pairs_of, ranking_loss
from alignloop.core.numeric_checks import finite
from alignloop.core.packing import pack, packed_attention
from alignloop.core.parallel_passes import backward, in_parallel
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import pad_right
from alignloop.core.training_loop import Schedule, Training


@dataclass(frozen=True)
class EncodedRanking:
    """Token rows (prompt, response, end token) of a prompt's K responses, and their ranks, 1 the best.

    The first `shared` tokens of all rows are equal. `name` is what messages call the ranking.
    """

    rows: list[list[int]]
    ranks: list[int]
    shared: int = 0
    name: str = ""

    @cached_property
    def distinct(self) -> list[list[int]]:
        """Each distinct row once: equal responses have the same score, so it is computed once."""
        return [list(row) for row in dict.fromkeys(map(tuple, self.rows))]

    @cached_property
    def places(self) -> list[int]:
        """The index of each of the K rows among the distinct ones."""
        return [self.distinct.index(row) for row in self.rows]

    def __len__(self) -> int:
        """The number of tokens of the packed row: the shared ones once, then each distinct response."""
        return self.shared + sum(len(row) - self.shared for row in self.distinct)


def branch(rankings: Sequence[EncodedRanking], pad: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each ranking packed into one row in which its distinct responses branch from the prompt.

    Returns ids (B, T), positions (B, T), the attention mask (B, T, T), and the last tokens of the responses
    (B, T), in the order of the distinct responses. A token attends to the prompt and its own response up to
    itself, so the scores are those of separate rows, but the prompt is computed once instead of K times.
    """
    groups = [
        [ranking.rows[0][: ranking.shared], *(row[ranking.shared :] for row in ranking.distinct)]
        for ranking in rankings
    ]
    ids, positions, segments = pack(groups, pad)
    ends = torch.zeros(segments.shape, dtype=torch.bool)
    for place, group in enumerate(groups):
        ends[place, [stop - 1 for stop in accumulate(map(len, group))][1:]] = True
    return ids, positions, packed_attention(segments), ends


def ranked_scores(model: RewardModel, rankings: Sequence[EncodedRanking], pad: int) -> Sequence[Tensor]:
    """Scores (K,) of each ranking's responses, from one forward pass, with gradients."""
    return _each(model.branches(*branch(rankings, pad)), rankings)


def _each(scores: Tensor, rankings: Sequence[EncodedRanking]) -> list[Tensor]:
    """Scores (K,) of each ranking's rows, from the scores of all distinct rows."""
    parts = scores.split([len(ranking.distinct) for ranking in rankings])
    return [part[ranking.places] for part, ranking in zip(parts, rankings, strict=True)]


def scores_of(model: RewardModel, rows: Sequence[list[int]], pad: int) -> Tensor:
    """Scores (N,) of token rows, in their order, with gradients where they are enabled."""
    batches = by_length([len(row) for row in rows])
    parts = list(in_parallel(lambda batch: model(*pad_right([rows[index] for index in batch], pad)), batches))
    return torch.cat(parts)[torch.argsort(torch.tensor([index for batch in batches for index in batch]))]


@torch.no_grad()
def score(model: RewardModel, rows: Sequence[list[int]], pad: int) -> Tensor:
    """Scores (N,) of token rows without gradients."""
    model.eval()
    return scores_of(model, rows, pad)


def score_rankings(model: RewardModel, rankings: Sequence[EncodedRanking], pad: int) -> list[Tensor]:
    """Scores (K,) of each ranking's responses without gradients; rows of different rankings share passes."""
    rows = [row for ranking in rankings for row in ranking.distinct]
    return _each(score(model, rows, pad), rankings) if rows else []


def train(
    model: RewardModel,
    rankings: Sequence[EncodedRanking],
    pad: int,
    *,
    rankings_per_step: int,
    margin: float = 0.0,
    ties: Ties = "skip",
    **schedule: Unpack[Schedule],
) -> Training:
    """A training of the model, in place; the loss is the mean over rankings of `ranking_loss`."""

    def learn(chosen: list[int]) -> dict[str, float]:
        loss, right, pairs = _learn(model, [rankings[index] for index in chosen], pad, margin, ties)
        return {"loss": loss, "accuracy": right / max(pairs, 1)}

    names = [ranking.name for ranking in rankings]
    return Training(model, len(rankings), learn, rows_per_step=rankings_per_step, names=names, **schedule)


def _learn(
    model: RewardModel, rankings: Sequence[EncodedRanking], pad: int, margin: float, ties: Ties
) -> tuple[float, float, int]:
    """Add the gradient of the mean loss; returns the loss, the correctly ordered pairs and all pairs."""

    def loss(batch: list[int]) -> tuple[Tensor, tuple[float, float, int]]:
        part = [rankings[index] for index in batch]
        scores, ranks = ranked_scores(model, part, pad), [ranking.ranks for ranking in part]
        losses = torch.stack([ranking_loss(*pair, margin, ties) for pair in zip(scores, ranks, strict=True)])
        mean = finite(losses.sum() / len(rankings), "the ranking loss", batch)
        return mean, (float(mean.detach()), *correct_pairs([score.detach() for score in scores], ranks))

    means, rights, pairs = zip(
        *backward(loss, by_length([len(ranking) for ranking in rankings]), [*model.parameters()]), strict=True
    )
    return sum(means), sum(rights), sum(pairs)


def correct_pairs(scores: Sequence[Tensor], ranks: Sequence[Sequence[int]]) -> tuple[float, int]:
    """The number of pairs in the order of the rankings (equal scores count a half), and of all pairs."""
    right, pairs = 0.0, 0
    for part, order in zip(scores, ranks, strict=True):
        better, worse = pairs_of(order)
        gaps = part[better] - part[worse]
        right += float((gaps > 0).sum() + 0.5 * (gaps == 0).sum())
        pairs += len(better)
    return right, pairs


@torch.no_grad()
def normalise(
    model: RewardModel, demonstrations: Sequence[list[int]], pad: int, gain: bool = False
) -> tuple[float, float]:
    """Shift the scores to mean 0 on demonstrations (arXiv 2203.02155, §3.5); returns shift and scale.

    With `gain`, scores are also divided by their standard deviation on demonstrations (arXiv 1909.08593,
    §2.1); without it the scale is 1. Both are stored in the head and its normalisation, so a loaded
    checkpoint gives normalised scores.
    """
    scores = score(model, demonstrations, pad)
    shift, scale = scores.mean(), scores.std(correction=0) if gain else torch.ones(())
    model.normalisation += shift
    if gain:
        # the scores of equal rows may differ by rounding, which depends on a row's place in its pass
        beyond_rounding = scale > 1e-5 * scores.abs().max()
        finite((scale * beyond_rounding).log(), "the logarithm of the spread of scores on demonstrations")
        for part in (model.head.weight, model.head.bias, model.normalisation):
            part /= scale
    return float(shift), float(scale)
