"""Parameters of `reward`: the reward model's training and normalisation."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from alignloop.params.lora import Lora
from alignloop.params.section import Count, Positive, Section, Share


class Reward(Section):
    epochs: Positive
    rankings_per_step: Count
    learning_rate: Positive
    warmup: Share
    weight_decay: Annotated[float, Field(ge=0)]
    ties: Literal["skip", "rao_kupper"]
    margin: Annotated[float, Field(ge=0)]
    normalise_variance: bool
    normalisation_demonstrations: Count
    valid_rankings: Count
    held_out_model: bool
    lora: Lora | None

    @model_validator(mode="after")
    def _ties_need_a_margin(self) -> "Reward":
        if self.ties == "rao_kupper" and not self.margin:
            raise ValueError(
                "ties: rao_kupper needs a margin above 0: two equally good responses tie with probability "
                "tanh(margin / 2)"
            )
        return self
