"""Parameters of `evaluate`: how many prompts and documents a policy is measured on, and who judges it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from alignloop.params.section import Count, Positive, Section, Whole


class IndependentJudge(Section):
    """Who says which response is better where there is no ground truth: somebody training cannot reach.

    `url` and `name` are a judge model's, behind an OpenAI-compatible endpoint; its key is in the environment,
    as ALIGNLOOP_JUDGE_KEY.
    """

    by: Literal["none", "model", "held_out", "people"]
    url: str
    name: str
    max_concurrency: Count
    prompts: Count
    max_calls: Count

    @model_validator(mode="after")
    def _both_orders_fit(self) -> "IndependentJudge":
        if self.by == "model" and self.max_calls < 2 * self.prompts:
            raise ValueError(
                f"max_calls: {self.max_calls} do not suffice for {self.prompts} prompts in both orders; "
                f"raise them to {2 * self.prompts}, and some for replies that cannot be read, or lower "
                "prompts"
            )
        return self


class HarnessTask(Section):
    """A task of the lm-evaluation-harness, once for each number of shots; `chat`: in the chat template.

    At most `limit` of its samples are asked, the first ones.
    """

    shots: Annotated[list[Whole], Field(min_length=1)]
    chat: bool
    limit: Count | None


class Evaluate(Section):
    prompts: Count
    temperature: Positive
    documents: Count
    rankings: Count
    best_of: list[Count]
    tasks: dict[str, HarnessTask]
    judge: IndependentJudge
