"""The report on a reward model: its agreement with labelers on prompts of users it has not learned from."""

from collections.abc import Collection, Sequence
from typing import Any

from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.reward_metrics import (
    accuracy,
    by_group,
    by_rank_distance,
    calibration,
    length_correlation,
)
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score_rankings
from alignloop.records import Ranking


def held_out_agreement(
    model: RewardModel,
    unseen: Sequence[tuple[Ranking, EncodedRanking]],
    learned_from: Collection[str],
    pad: int,
    *,
    scale: float,
    threshold: float,
) -> dict[str, Any]:
    """The agreement with rankings of users from whom nothing was learned; `learned_from` are known labelers.

    `scale` undoes the normalisation of the variance: chances are σ(gap) of the scores as they were trained.
    """
    scores, ranks = score_rankings(model, [row for _, row in unseen], pad), [row.ranks for _, row in unseen]
    lengths = [[len(ids) - row.shared for ids in row.rows] for _, row in unseen]
    labelers = ["known" if ranking.labeler in learned_from else "held_out" for ranking, _ in unseen]
    return {
        "users": accuracy(scores, ranks),
        "labelers": by_group(scores, ranks, labelers),
        "rank_distance": by_rank_distance(scores, ranks),
        "categories": by_group(scores, ranks, [ranking.prompt.category for ranking, _ in unseen]),
        "calibration": calibration(scores, ranks, scale, threshold),
        "length_correlation": length_correlation(scores, ranks, lengths),
    }
