"""Parameters of a training's guards: what they look at, where it ends, and what happens beyond."""

from typing import Literal

from alignloop.params.section import Section

Guarded = Literal[
    "max_kl_per_response_nats",
    "min_kl_per_response_nats",
    "min_entropy_per_token_nats",
    "min_distinct_2",
    "min_ended",
    "max_held_out_fall",
]


class Guard(Section):
    limit: float
    strength: Literal["warn", "stop", "fail"]
