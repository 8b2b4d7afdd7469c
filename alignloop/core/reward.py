"""Training the reward model: all C(K, 2) pairs of a ranking in one batch element, the prompt passing once (arXiv 2203.02155, §3.5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Unpack

import torch
from torch import Tensor

from alignloop.core.batches import by_length
from alignloop.core.losses import Ties, finite, pairs_of, ranking_loss
from alignloop.core.models import RewardModel
from alignloop.core.packing import lay_out, sight
from alignloop.core.parallel_passes import backward, in_lanes
from alignloop.core.tokens import pad_right
from alignloop.core.training_loop import Schedule, Training


@dataclass(frozen=True)
class RankedRow:
    """K token rows (prompt and response, end token included), their ranks, 1 the best, and how many first tokens all rows share.

    `name` is what the ranking is called in messages.
    """

    rows: list[list[int]]
    ranks: list[int]
    shared: int = 0
    name: str = ""

    @cached_property
    def distinct(self) -> list[list[int]]:
        """Each row once: equal responses have one score, so one of them passes."""
        return [list(row) for row in dict.fromkeys(map(tuple, self.rows))]

    @cached_property
    def places(self) -> list[int]:
        """Where each of the K rows stands among the distinct ones."""
        return [self.distinct.index(row) for row in self.rows]

    def __len__(self) -> int:
        """Tokens of the ranking as one row: the shared ones once, then each distinct response."""
        return self.shared + sum(len(row) - self.shared for row in self.distinct)


def branch(rankings: Sequence[RankedRow], pad: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each ranking as one row in which its distinct responses branch from one prompt: ids, positions (B, T), sees (B, T, T), ends (B, T).

    A token sees the prompt and its own response up to itself, as if the response stood alone after the prompt: the scores are those of
    separate rows, but the prompt passes once instead of K times. Ends stand in the order of the distinct responses.
    """
    groups = [
        [ranking.rows[0][: ranking.shared], *(row[ranking.shared :] for row in ranking.distinct)]
        for ranking in rankings
    ]
    ids, positions, owners = lay_out(groups, pad)
    ends = torch.zeros(owners.shape, dtype=torch.bool)
    for place, group in enumerate(groups):
        ends[place, [stop - 1 for stop in accumulate(map(len, group))][1:]] = True
    return ids, positions, sight(owners), ends


def ranked_scores(model: RewardModel, rankings: Sequence[RankedRow], pad: int) -> Sequence[Tensor]:
    """Scores (K,) of each ranking's responses, in one forward pass, with gradients where they are on."""
    return _each(model.branches(*branch(rankings, pad)), rankings)


def _each(scores: Tensor, rankings: Sequence[RankedRow]) -> list[Tensor]:
    """Scores (K,) of each ranking's rows, from those of all distinct rows."""
    parts = scores.split([len(ranking.distinct) for ranking in rankings])
    return [part[ranking.places] for part, ranking in zip(parts, rankings, strict=True)]


def scores_of(model: RewardModel, rows: Sequence[list[int]], pad: int) -> Tensor:
    """Scores (N,) of token rows, in their order, with gradients where they are on; each row passes once."""
    batches = by_length([len(row) for row in rows])
    parts = list(in_lanes(lambda batch: model(*pad_right([rows[index] for index in batch], pad)), batches))
    return torch.cat(parts)[torch.argsort(torch.tensor([index for batch in batches for index in batch]))]


@torch.no_grad()
def score(model: RewardModel, rows: Sequence[list[int]], pad: int) -> Tensor:
    """Scores (N,) of token rows without gradients."""
    model.eval()
    return scores_of(model, rows, pad)


def score_rankings(model: RewardModel, rankings: Sequence[RankedRow], pad: int) -> list[Tensor]:
    """Scores (K,) of each ranking's responses without gradients: rows of all rankings share passes."""
    rows = [row for ranking in rankings for row in ranking.distinct]
    return _each(score(model, rows, pad), rankings) if rows else []


def train(
    model: RewardModel,
    rankings: Sequence[RankedRow],
    pad: int,
    *,
    rankings_per_step: int,
    margin: float = 0.0,
    ties: Ties = "skip",
    **schedule: Unpack[Schedule],
) -> Training:
    """A training of the model, in place. The loss is the mean over rankings of the mean over their pairs (`ranking_loss`)."""

    def learn(chosen: list[int]) -> dict[str, float]:
        loss, right, pairs = _learn(model, [rankings[index] for index in chosen], pad, margin, ties)
        return {"loss": loss, "accuracy": right / max(pairs, 1)}

    names = [ranking.name for ranking in rankings]
    return Training(model, len(rankings), learn, rows_per_step=rankings_per_step, names=names, **schedule)


def _learn(
    model: RewardModel, rankings: Sequence[RankedRow], pad: int, margin: float, ties: Ties
) -> tuple[float, float, int]:
    """Add the gradient of the mean loss over rankings; returns that loss, and how many pairs the scores order right, of how many."""

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
    """How many pairs that the rankings tell apart the scores order likewise (equal scores count a half), of how many."""
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
    """Shift the scores so that demonstrations have mean 0 (arXiv 2203.02155, §3.5); returns the shift, and the scale that was taken out.

    With `gain` the scores are divided by their standard deviation on demonstrations as well (arXiv 1909.08593, §2.1). Both end in the head
    and in its normalisation, so whoever loads the checkpoint gets normalised scores. The scale is 1 without `gain`.
    """
    scores = score(model, demonstrations, pad)
    shift, scale = scores.mean(), scores.std(correction=0) if gain else torch.ones(())
    model.normalisation += shift
    if gain:
        beyond_rounding = (
            scale > 1e-5 * scores.abs().max()
        )  # equal rows need not have equal scores: passes round by where a row stands
        finite((scale * beyond_rounding).log(), "the logarithm of the spread of scores on demonstrations")
        for part in (model.head.weight, model.head.bias, model.normalisation):
            part /= scale
    return float(shift), float(scale)
