"""Parameters of `pretrain`: the size and the training of a base model that is made here."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from alignloop.params.section import Count, Positive, Section, Share
from alignloop.records import DomainName


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
    mixture: dict[DomainName, Annotated[float, Field(ge=0)]] | None

    @field_validator("mixture")
    @classmethod
    def _mixture_draws_something(cls, mixture: dict[str, float] | None) -> dict[str, float] | None:
        if mixture is not None and not sum(mixture.values()) > 0:
            raise ValueError("no domain has a weight above 0; give one, or leave it empty")
        return mixture

    @model_validator(mode="after")
    def _heads_have_an_even_width(self) -> "Pretrain":
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width: {self.width} is no multiple of 2 · {self.heads} heads: rotary positions turn "
                "the parts of a head in pairs"
            )
        return self
