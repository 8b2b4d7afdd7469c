"""Parameters of `sample` and of decoding in general."""

from typing import Annotated, Literal

from pydantic import Field

from alignloop.params.section import Count, Positive, Section


class Decoding(Section):
    """How responses are drawn; sampler, reference and learner share the temperature."""

    temperature: Positive
    max_new_tokens: Count
    responses_per_batch: Count


class Sample(Section):
    """`choose` says which training prompts are labeled: any, or those labels are wanted for most.

    With `disagreement`, `candidates` times as many prompts get responses, and reward models decide.
    """

    prompts: Count
    valid_prompts: Count
    choose: Literal["random", "disagreement"]
    candidates: Annotated[int, Field(ge=2)]
    responses_per_prompt: Annotated[int, Field(ge=2, le=9)]

    @property
    def training_candidates(self) -> int:
        """The training prompts that get responses, of which `prompts` are labeled."""
        return self.prompts * (self.candidates if self.choose == "disagreement" else 1)
