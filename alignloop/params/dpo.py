"""Parameters of `dpo`: a policy's training on rankings, without a reward model, and its guards."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from alignloop.params.guards import Guard, Guarded
from alignloop.params.lora import Lora
from alignloop.params.section import Count, Positive, Section, Share, Whole


class Dpo(Section):
    loss: Literal["dpo", "ipo", "kto", "ranking"]
    beta_score_per_nat: Positive
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)]
    length_normalised: bool
    ties: Literal["skip", "rao_kupper"]
    margin: Annotated[float, Field(ge=0)]
    desirable_weight: Positive
    undesirable_weight: Positive
    epochs: Positive
    rankings_per_step: Count
    learning_rate: Positive
    warmup: Share
    weight_decay: Annotated[float, Field(ge=0)]
    ptx_coef: Annotated[float, Field(ge=0)]
    ptx_documents_per_step: Whole
    validations: Count
    valid_rankings: Count
    validation_prompts: Count
    guards: dict[Guarded, Guard]
    guard_window_validations: Count
    reference: Literal["sft", "start", "adapter"]
    lora: Lora | None

    @model_validator(mode="after")
    def _keys_suit_the_loss(self) -> "Dpo":
        faults: list[str] = []
        if self.loss != "dpo" and (self.ties != "skip" or self.margin):
            faults.append(
                f"ties and margin are for loss: dpo; with loss: {self.loss} set ties to skip and margin "
                "to 0.0"
            )
        if self.loss == "kto" and self.label_smoothing:
            faults.append("label_smoothing turns comparisons round, and kto makes none; set it to 0.0")
        if self.loss != "kto" and (self.desirable_weight, self.undesirable_weight) != (1.0, 1.0):
            faults.append(
                "desirable_weight and undesirable_weight are for loss: kto; set both to 1.0, or the loss to "
                "kto"
            )
        if self.ties == "rao_kupper" and not self.margin:
            faults.append(
                "ties: rao_kupper needs a margin above 0: two equally good responses tie with probability "
                "tanh(margin / 2)"
            )
        if self.reference == "adapter" and self.lora is None:
            faults.append(
                "reference: adapter is the policy with its LoRA adapters off; set lora, e.g. {rank: 8, "
                "alpha: 16}, or reference to sft or start"
            )
        if faults:
            raise ValueError("; ".join(faults))
        return self
