"""Parameters of `rollout`: who draws the responses, and how an inference server is asked."""

import shlex
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from alignloop.params.address import address_of
from alignloop.params.section import Count, Positive, Section


def _words(command: str | None) -> str | None:
    try:
        empty = command is not None and not shlex.split(command)
    except ValueError as error:
        raise ValueError(f"must be a command line ({error})") from None
    if empty:
        raise ValueError("must be a command line; null: the server runs already")
    return command


CommandLine = Annotated[str | None, AfterValidator(_words)]


class RolloutEngine(Section):
    """`engine` and `truncate` are part of the result; an address, a command or a limit of time is not."""

    engine: Literal["own", "vllm"]
    url: Annotated[str, AfterValidator(address_of("ALIGNLOOP_SAMPLER_KEY"))]
    command: CommandLine
    max_gap: Annotated[float, Field(gt=1)]
    truncate: Annotated[float, Field(ge=1)]
    max_concurrency: Count
    timeout_s: Positive
    start_timeout_s: Positive
    weights_folder: str | None
