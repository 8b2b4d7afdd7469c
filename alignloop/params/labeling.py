"""Keys of labeling: who ranks, and what the pages ask."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from alignloop.params.section import Count, Positive, Section, Share

Labelers = Literal["panel", "people", "judge"]
Rating = Literal[
    "overall",
    "fails_instruction",
    "inappropriate",
    "hallucination",
    "satisfies_constraint",
    "sexual",
    "violent",
    "encourages_harm",
    "denigrates",
    "harmful_advice",
    "opinion",
    "moral_judgment",
]
About = Literal["ambiguous", "sensitive", "category"]


class JudgeModel(Section):
    """An OpenAI-compatible endpoint; its key is in the environment, as ALIGNLOOP_JUDGE_KEY."""

    url: str
    name: str
    at_once: Count


class Label(Section):
    """`kind` is who ranks, or several with the share of the prompts that each ranks."""

    kind: Labelers | dict[Labelers, Share]
    judge: Literal["gold", "form"]
    labelers: Count
    held_out: Share
    valid_by_known: Share
    noise: Positive
    tie: Annotated[float, Field(ge=0)]
    screening_items: Count
    screening_pass: Share
    overlap: Count
    exclude_below: Share | None
    enough: Share
    deadline_hours: Positive | None
    model: JudgeModel

    @model_validator(mode="after")
    def _shares_are_all(self) -> "Label":
        if isinstance(self.kind, dict) and abs(sum(self.kind.values()) - 1) > 1e-9:
            raise ValueError(f"kind: the shares {self.kind} add up to {sum(self.kind.values()):g}; make it 1")
        return self


class People(Section):
    """The labeling pages (alignloop/web): no result of a stage depends on these keys."""

    url: str
    guidelines: str
    quiz: str
    gold: str
    gold_share: Share
    repeated_share: Share
    lease_minutes: Positive
    ratings: list[Rating]
    about: list[About]
    review_prompts: Count
    review_votes: Count
