"""Parameters of `validate`: the limits of the data gates, and of drift against the previous version."""

from alignloop.params.section import Count, Section, Share


class Drift(Section):
    length: Share | None
    category: Share | None
    language: Share | None
    labeler: Share | None
    agreement: Share | None


class Validate(Section):
    max_characters: Count
    max_responses: Count
    max_duplicates: Share
    drift: Drift
    labelers: list[str]
