"""Parameters of the server that people and programs talk to; no result of a stage depends on them."""

from typing import Annotated, Literal

from pydantic import Field

from alignloop.params.rollout import CommandLine
from alignloop.params.section import Count, Positive, Section, Share

Error = Annotated[float, Field(gt=0, lt=1)]


class Serving(Section):
    """`model` is what the chat page uses at first; its alias is followed. Limits are of each model."""

    url: str
    model: str
    engine: Literal["own", "vllm"]
    command: CommandLine
    timeout_s: Positive
    start_timeout_s: Positive
    max_running: Count
    max_waiting: Count
    batch_tokens: Count
    most_loaded: Count
    refresh_seconds: Positive
    drain_seconds: Positive
    guests: Literal["invited", "open"]
    open_on_loopback: bool
    consent: str
    feedback_licence: str
    compare_share: Share
    candidate_share: Share
    alarm_error: Error

    @property
    def candidate_name(self) -> str:
        """The model that responds to a share of the conversations; "" if none does."""
        return f"{self.model.partition('@')[0]}@candidate" if self.candidate_share else ""
