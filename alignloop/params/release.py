"""Parameters of `release`: the rules that a candidate has to meet, and who decides."""

from typing import Annotated, Literal

from pydantic import Field

from alignloop.params.section import Positive, Section, Share

Floor = Annotated[float, Field(ge=0)]


class Gates(Section):
    """A candidate compared with the champion, or with SFT where there is none; None disables a rule."""

    min_win_rate: Share | None
    max_kl_per_response_nats: Positive | None
    min_distinct_2_ratio: Floor | None
    max_length_drift: Floor | None
    max_perplexity_ratio: Positive | None
    max_behaviour_fall: Share | None
    max_over_optimisation: Share | None
    max_reward_model_gap: Share | None
    max_rule_violations: Floor | None
    red_team: bool
    validated: bool
    traced: bool


class Release(Section):
    registry: str
    approval: Literal["automatic", "person"]
    gates: Gates
