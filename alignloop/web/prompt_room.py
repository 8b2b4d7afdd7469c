"""Whether prompts leave room for a response in a model's context, and what is left out where they do not.

On the chat page the oldest messages of a conversation are left out, a prompt and its response at a time,
until there is room. The system prompt and the newest prompt stay. The API leaves out nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from alignloop.errors import AlignloopError
from alignloop.serving.engine import Engine
from alignloop.web.api_errors import ApiError

RESERVED_SHARE = 4  # a quarter of the context is kept for a response whose length is not set
MOST_SENT = 400  # messages that are tried to fit


class TurnRefused(AlignloopError):
    """A response cannot be begun; the message is for the person."""


class Fitted(NamedTuple):
    """A prompt that leaves room for its response, the number of messages left out, and whether tools fit."""

    prompt: tuple[int, ...]
    left_out: int
    may_call: bool = False


def fitted(
    engine: Engine, messages: Sequence[dict[str, str]], max_tokens: int | None, *, may_call: bool = False
) -> Fitted:
    """As many of the newest messages as leave room for a response, and with `may_call` for tools' answers.

    Where the newest prompt alone leaves no room for the answers, it is offered no tools. Raises TurnRefused
    if it leaves none for a response.
    """
    kept = kept_for_response(engine, max_tokens)
    system = [message for message in messages if message["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    most = max(0, len(rest) - MOST_SENT)
    for with_tools in (True, False) if may_call else (False,):
        left_out = most + most % 2  # a prompt with its response
        while left_out < len(rest):
            newest = [*system, *rest[left_out:]]
            if with_tools:
                if (found := with_room_for_tools(engine, newest, kept)) is not None:
                    return Fitted(found, left_out, may_call=True)
            else:
                prompt = engine.encode_dialogue(newest)
                if len(prompt) + kept <= engine.context:
                    return Fitted(prompt, left_out)
            left_out += 2
    raise TurnRefused(
        f"This is too long for the model: its context has {engine.context} tokens, of which {kept} are kept "
        "for the response. Shorten the message or the system prompt."
    )


def kept_for_response(engine: Engine, max_tokens: int | None) -> int:
    """How many tokens a prompt leaves for its response, if not all of `max_tokens`."""
    return max(1, min(max_tokens or engine.context, engine.context // RESERVED_SHARE))


def with_room_for_tools(
    engine: Engine, messages: Sequence[dict[str, str]], kept: int
) -> tuple[int, ...] | None:
    """A prompt with the tools in it, if there are any, it may call them, and their answers fit as well."""
    prompt = engine.tools.offered(messages) if engine.tools else None
    if prompt is None or engine.tools is None:
        return None
    return prompt if len(prompt) + kept + engine.tools.answer_tokens <= engine.context else None


def room_for(engine: Engine, prompt: Sequence[int], limit: int | None, param: str) -> int:
    """How many tokens the context leaves for a response. Raises ApiError if they are less than the limit."""
    room = engine.context - len(prompt)
    if room < (limit or 1):
        asked = f" and {limit} were requested for the response" if limit else ""
        raise ApiError(
            400,
            f"This model's context has {engine.context} tokens: the {param} took {len(prompt)}{asked}. "
            "Shorten the prompt or the response.",
            param=param,
            code="context_length_exceeded",
        )
    return room
