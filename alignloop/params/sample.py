"""Parameters of `sample` and of decoding in general."""

from typing import Annotated

from pydantic import Field

from alignloop.params.section import Count, Positive, Section


class Decoding(Section):
    """How responses are drawn; sampler, reference and learner share the temperature."""

    temperature: Positive
    max_new_tokens: Count
    responses_per_batch: Count


class Sample(Section):
    prompts: Count
    valid_prompts: Count
    responses_per_prompt: Annotated[int, Field(ge=2, le=9)]
