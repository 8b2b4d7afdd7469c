"""Parameters of the ledger: what a round's parts cost; no result of a stage depends on them."""

from typing import Annotated

from pydantic import Field

from alignloop.params.section import Section

Price = Annotated[float, Field(ge=0)]


class Prices(Section):
    """Prices in the ledger's currency; None: not priced, and named so."""

    people_hour: Price | None
    cpu_hour: Price | None
    gpu_hour: Price | None
    judge_call: Price | None
    judge_million_prompt_tokens: Price | None
    judge_million_completion_tokens: Price | None


class Ledger(Section):
    currency: Annotated[str, Field(min_length=1, max_length=10)]
    prices: Prices
