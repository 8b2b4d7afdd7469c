"""Parameters of the labeling and review pages; no result of a stage depends on them."""

from typing import Literal

from pydantic import field_validator

from alignloop.params.section import Count, Positive, Section, Share

Flag = Literal[
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
Rating = Literal["overall"] | Flag
PromptQuestion = Literal["ambiguous", "sensitive", "category"]


class People(Section):
    """`ratings` are asked of each response before the ranking; other `flags` can be set while ranking."""

    url: str
    guidelines: str
    quiz: str
    gold: str
    gold_share: Share
    repeated_share: Share
    lease_minutes: Positive
    ratings: list[Rating]
    flags: list[Flag]
    submit_key: Literal["enter", "ctrl+enter"]
    prompt_questions: list[PromptQuestion]
    review_prompts: Count
    review_votes: Count

    @field_validator("ratings", "flags", "prompt_questions")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)}: stands twice; name each once")
        return names
