"""Parameters of `label`: who ranks the responses."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from alignloop.params.section import Count, Positive, Section, Share

Labelers = Literal["panel", "people", "judge"]


class JudgeModel(Section):
    """An OpenAI-compatible endpoint; its key is in the environment, as ALIGNLOOP_JUDGE_KEY."""

    url: str
    name: str
    max_concurrency: Count


class Label(Section):
    """`kind` is who ranks, or several with the share of the prompts that each ranks; `imported`: nobody."""

    kind: Labelers | Literal["imported"] | dict[Labelers, Share]
    panel_utility: Literal["gold", "form"]
    labelers: Count
    held_out_share: Share
    valid_share_by_training_labelers: Share
    noise: Positive
    tie: Annotated[float, Field(ge=0)]
    screening_items: Count
    screening_pass: Share
    overlap: Count
    exclude_below: Share | None
    min_share_at_deadline: Share
    deadline_hours: Positive | None
    model: JudgeModel

    @property
    def people_share(self) -> float:
        """The share of the prompts that people rank."""
        return float(self.kind == "people") if isinstance(self.kind, str) else self.kind.get("people", 0.0)

    @model_validator(mode="after")
    def _shares_add_up(self) -> "Label":
        if isinstance(self.kind, dict) and abs(sum(self.kind.values()) - 1) > 1e-9:
            raise ValueError(f"kind: the shares {self.kind} add up to {sum(self.kind.values()):g}; make it 1")
        return self
