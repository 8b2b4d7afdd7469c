"""Parameters of `rollout`: who draws the responses, and how an inference server is asked."""

import shlex
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from alignloop.params.section import Count, Positive, Section


def _address(url: str) -> str:
    parts = urlsplit(url)
    try:
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # its port is no port
        whole = False
    if not whole:
        raise ValueError("must be the address of a server, such as http://127.0.0.1:8000")
    if parts.username or parts.password:
        raise ValueError(
            "must not hold a password; put the key into ALIGNLOOP_SAMPLER_KEY in the environment"
        )
    if parts.query or parts.fragment:
        raise ValueError("must end with its host, port or path")
    return url.rstrip("/")


def _words(command: str | None) -> str | None:
    try:
        empty = command is not None and not shlex.split(command)
    except ValueError as error:
        raise ValueError(f"must be a command line ({error})") from None
    if empty:
        raise ValueError("must be a command line; null: the server runs already")
    return command


class RolloutEngine(Section):
    """`engine` and `truncate` are part of the result; an address, a command or a limit of time is not."""

    engine: Literal["own", "vllm"]
    url: Annotated[str, AfterValidator(_address)]
    command: Annotated[str | None, AfterValidator(_words)]
    max_gap: Annotated[float, Field(gt=1)]
    truncate: Annotated[float, Field(ge=1)]
    max_concurrency: Count
    timeout_s: Positive
    start_timeout_s: Positive
    weights_folder: str | None
