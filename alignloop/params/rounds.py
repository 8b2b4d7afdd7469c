"""Parameters of the rounds: which model each starts from and which rankings it adds to."""

from typing import Annotated

from alignloop.params.section import Key, Section


class Round(Section):
    """`policy` draws the responses that are ranked; `rankings` is the set that this round adds to.

    PPO is initialised from `start`, the reward model from `reward_start`: the reward model of a round whose
    rankings are in `rankings`, or the SFT model with a new head.
    """

    policy: str
    start: str
    reward_start: str
    rankings: str


Rounds = Annotated[dict[str, Round], Key("rounds")]
