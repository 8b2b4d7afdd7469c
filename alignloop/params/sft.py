"""Parameters of `sft`: supervised fine-tuning and how its checkpoint is selected."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from alignloop.params.lora import Lora
from alignloop.params.section import Count, Positive, Section, Share


class Sft(Section):
    epochs: Positive
    demonstrations_per_step: Count
    learning_rate: Positive
    warmup: Share
    assistant_turns: Literal["all", "last"]
    pretrain_share: Annotated[float, Field(ge=0, lt=1)]
    packing: bool
    validations: Count
    valid_demonstrations: Count
    reward_model: str | None
    validation_prompts: Count
    extra_demonstrations: str | None
    lora: Lora | None

    @model_validator(mode="after")
    def _reward_model_exists_before(self) -> "Sft":
        if self.reward_model and self.reward_model.removeprefix("./").startswith("models/"):
            raise ValueError(
                f"reward_model: {self.reward_model} is made after SFT, by this very run; "
                "copy one out of models/, to data/ say"
            )
        return self
