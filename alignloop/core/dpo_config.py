"""The configuration of learning from rankings without a reward model, as one frozen value."""

from dataclasses import dataclass
from typing import Literal

from alignloop.core.ranking_loss import Ties
from alignloop.errors import AlignloopError

Loss = Literal["dpo", "ipo", "kto", "ranking"]
MOST_TIED = 12  # responses tied above others, for the sum over their orders


class NothingToLearn(AlignloopError):
    """No ranking has two responses of different ranks, or they cannot be learned from."""


@dataclass(frozen=True)
class DpoConfig:
    """The values of `dpo` in params.yaml, where their units and reasons are stated."""

    loss: Loss
    beta: float
    label_smoothing: float
    length_normalised: bool
    ties: Ties
    margin: float
    desirable_weight: float
    undesirable_weight: float
    ptx_coef: float
    ptx_documents_per_step: int
