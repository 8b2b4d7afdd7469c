"""Parameters of `pretrain`: the size and the training of a base model that is made here."""

from typing import Annotated

from pydantic import Field, model_validator

from alignloop.params.section import Count, Positive, Section, Share


class Pretrain(Section):
    vocabulary: Count
    layers: Count
    width: Count
    heads: Count
    context: Count
    epochs: Positive
    documents_per_step: Count
    learning_rate: Positive
    warmup: Share
    weight_decay: Annotated[float, Field(ge=0)]
    valid_documents: Count

    @model_validator(mode="after")
    def _heads_have_an_even_width(self) -> "Pretrain":
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width: {self.width} is no multiple of 2 · {self.heads} heads: rotary positions turn "
                "the parts of a head in pairs"
            )
        return self
