"""Scores of a reward model: of token rows, and of rankings whose responses branch from one prompt."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from alignloop.core.batches import by_length
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.packing import pack, packed_attention
from alignloop.core.parallel_passes import in_parallel
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import pad_right
from alignloop.phases import counted


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


def ranked_scores(
    model: RewardModel, rankings: Sequence[EncodedRanking], pad: int, packed: bool = True
) -> Sequence[Tensor]:
    """Scores (K,) of each ranking's responses, from one forward pass, with gradients.

    Without `packed` each response is a row with its prompt, for families that packed rows do not suit.
    """
    if packed:
        return _each(model.branches(*branch(rankings, pad)), rankings)
    rows = [row for ranking in rankings for row in ranking.distinct]
    return _each(model(*pad_right(rows, pad)), rankings)


def _each(scores: Tensor, rankings: Sequence[EncodedRanking]) -> list[Tensor]:
    """Scores (K,) of each ranking's rows, from the scores of all distinct rows."""
    parts = scores.split([len(ranking.distinct) for ranking in rankings])
    return [part[ranking.places] for part, ranking in zip(parts, rankings, strict=True)]


def scores_of(model: RewardModel, rows: Sequence[list[int]], pad: int) -> Tensor:
    """Scores (N,) of token rows, in their order, with gradients where they are enabled."""
    batches = by_length([len(row) for row in rows])
    scored = in_parallel(lambda batch: model(*pad_right([rows[index] for index in batch], pad)), batches)
    parts = list(counted("scoring", scored, len(batches)))
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
