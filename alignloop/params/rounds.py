"""Parameters of the rounds: which model each starts from and which rankings it adds to."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from alignloop.params.section import Key, Section

TAKEN = {
    "base": "models/base",
    "sft": "models/sft",
    "imported": "data/rankings/imported",
    "raw": "metrics/validation/raw.json",
    "sets": "metrics/validation/sets.json",
}


By = Literal["ppo", "dpo", "adopted"]


class Round(Section):
    """`policy` draws the responses that are ranked; `rankings` is the set that this round adds to.

    The policy is initialised from `start`, the reward model from `reward_start`: the reward model of a round
    whose rankings are in `rankings`, or the SFT model with a new head. `by` is what makes the round's policy
    from its rankings: PPO against the reward model, or a loss of `dpo` on the rankings themselves. `adopted`
    trains nothing: `start` is a checkpoint that was trained elsewhere, and nobody labels.
    """

    policy: str
    start: str
    reward_start: str
    rankings: str
    by: By


def _name(name: str) -> str:
    """The name of a round, which stands in commands and paths."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise ValueError(
            "the name of a round must be 1 to 64 letters, digits, _ and -, the first a letter or digit: it "
            "stands in commands and paths; rename it"
        )
    if name in TAKEN:
        raise ValueError(f"the name is taken by {TAKEN[name]}; rename the round")
    return name


RoundPlans = Annotated[dict[Annotated[str, AfterValidator(_name)], Round], Field(min_length=1)]
Rounds = Annotated[dict[str, Round], Key("rounds")]
