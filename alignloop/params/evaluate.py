"""Parameters of `evaluate`: how many prompts and documents a policy is measured on."""

from alignloop.params.section import Count, Positive, Section


class Evaluate(Section):
    prompts: Count
    temperature: Positive
    documents: Count
    rankings: Count
    best_of: list[Count]
