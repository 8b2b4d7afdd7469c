"""Parameters of `prepare`: splits, caps, near-duplicates and decontamination."""

from typing import Annotated

from pydantic import Field

from alignloop.params.section import Count, Section, Share


class Prepare(Section):
    prompts_per_user: Count
    valid_share: Share
    test_share: Share
    near_duplicate_similarity: Annotated[float, Field(gt=0, lt=1)] | None
    shared_prefix_words: Count | None
    decontamination_ngram: Count | None
    detect_language: bool
