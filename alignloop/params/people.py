"""Parameters of the labeling and review pages; no result of a stage depends on them."""

from typing import Literal

from alignloop.params.section import Count, Positive, Section, Share

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
PromptQuestion = Literal["ambiguous", "sensitive", "category"]


class People(Section):
    url: str
    guidelines: str
    quiz: str
    gold: str
    gold_share: Share
    repeated_share: Share
    lease_minutes: Positive
    ratings: list[Rating]
    prompt_questions: list[PromptQuestion]
    review_prompts: Count
    review_votes: Count
