"""Keys of the data: where it comes from, what is refused, how it is split, what the rounds sample."""

from typing import Annotated, Literal

from pydantic import Field

from alignloop.params.section import Count, Positive, Section, Share


class World(Section):
    """Sizes of the embedded world (see alignloop/world)."""

    facts: Count
    users: Count
    prompts: Count
    demonstrations: Count
    documents: Count
    truth: Share
    demonstration_quality: Share


class Ingest(Section):
    source: Literal["world", "files"]
    formats: dict[str, str]
    columns: dict[str, dict[str, str | list[str]]]
    licences: dict[str, str]
    max_refused: Share
    world: World


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


class Prepare(Section):
    prompts_per_user: Count
    valid: Share
    test: Share
    near_duplicates: Annotated[float, Field(gt=0, lt=1)] | None
    common_beginning: Count | None
    contamination: Count | None
    languages: bool


class Decoding(Section):
    temperature: Positive
    max_new_tokens: Count
    batch: Count


class Sample(Section):
    prompts: Count
    valid_prompts: Count
    k: Annotated[int, Field(ge=2, le=9)]
