"""The reward model's training: all C(K, 2) pairs of a ranking in one batch element, with K forward passes (arXiv 2203.02155, §3.5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from alignloop.core.batches import by_length, shuffled, steps_of
from alignloop.core.fit import cosine
from alignloop.core.losses import finite, pairs_of, ranking_loss
from alignloop.core.models import RewardModel
from alignloop.core.tokens import pad_right


@dataclass(frozen=True)
class RankedRow:
    """K token rows (prompt and response, end token included) and their ranks, 1 the best."""

    rows: list[list[int]]
    ranks: list[int]


def scores_of(model: RewardModel, rows: Sequence[list[int]], pad: int) -> Tensor:
    """Scores (N,) of token rows, in their order, with gradients where they are on; each row passes once."""
    order: list[int] = []
    parts: list[Tensor] = []
    for batch in by_length([len(row) for row in rows]):
        parts.append(model(*pad_right([rows[index] for index in batch], pad)))
        order += batch
    return torch.cat(parts)[torch.argsort(torch.tensor(order))]


@torch.no_grad()
def score(model: RewardModel, rows: Sequence[list[int]], pad: int) -> Tensor:
    """Scores (N,) of token rows without gradients."""
    model.eval()
    return scores_of(model, rows, pad)


def train(
    model: RewardModel,
    rankings: Sequence[RankedRow],
    pad: int,
    *,
    epochs: float,
    rankings_per_step: int,
    learning_rate: float,
    warmup: float,
    weight_decay: float,
    random: np.random.Generator,
) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Train in place; yields (step, steps, metrics). The loss is the mean over rankings of the mean over their pairs."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=weight_decay)
    steps = steps_of(len(rankings), rankings_per_step, epochs)
    model.eval()  # no dropout: eval mode only switches that, gradients flow
    for step, chosen in enumerate(shuffled(len(rankings), rankings_per_step, epochs, random)):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * cosine(step, steps, warmup)
        batch = [rankings[index] for index in chosen]
        scores = scores_of(model, [row for ranking in batch for row in ranking.rows], pad).split([len(ranking.rows) for ranking in batch])
        losses = [ranking_loss(part, ranking.ranks) for part, ranking in zip(scores, batch, strict=True)]
        loss = finite(torch.stack(losses).mean(), "the ranking loss")
        loss.backward()
        norm = finite(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0), "the gradient's norm")
        optimiser.step()
        optimiser.zero_grad()
        right, pairs = correct_pairs([part.detach() for part in scores], [ranking.ranks for ranking in batch])
        yield step + 1, steps, {"loss": float(loss.detach()), "accuracy": right / max(pairs, 1), "grad_norm": float(norm)}


def correct_pairs(scores: Sequence[Tensor], ranks: Sequence[Sequence[int]]) -> tuple[float, int]:
    """How many pairs that the rankings tell apart the scores order likewise (equal scores count a half), of how many."""
    right, pairs = 0.0, 0
    for part, order in zip(scores, ranks, strict=True):
        better, worse = pairs_of(order)
        gaps = part[better] - part[worse]
        right += float((gaps > 0).sum() + 0.5 * (gaps == 0).sum())
        pairs += len(better)
    return right, pairs


def normalise(model: RewardModel, demonstrations: Sequence[list[int]], pad: int) -> float:
    """Shift the scores so that demonstrations have mean 0 (arXiv 2203.02155, §3.5); returns the shift that was added."""
    mean = score(model, demonstrations, pad).mean()
    model.normalisation += mean
    return float(mean)
