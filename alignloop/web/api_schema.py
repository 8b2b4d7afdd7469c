"""Requests of the OpenAI-compatible API, checked: unknown fields and values out of range are refused.

Fields that change nothing here are accepted (`user`, `metadata`, …). Fields for what this server cannot do
are accepted with the value that asks for nothing.
"""

import secrets
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alignloop.serving.sampling import Sampling
from alignloop.web.api_errors import ApiError
from alignloop.web.forms import storable_text

MAX_CHOICES = 16
GREEDY_BELOW = 1e-3  # temperatures that small overflow, and take the most probable token anyway
Text = Annotated[str, Field(min_length=1)]
Stop = Annotated[str, Field(min_length=1, max_length=200)]
# a body of wrong values ends at the first: a violation of each would take memory without end
TokenIds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, fail_fast=True)]
Zero = Annotated[float, Field(ge=0, le=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TextPart(_Part):
    type: Literal["text"]
    text: str


class Message(_Part):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(fail_fast=True)]
    name: str | None = None  # not shown to the model

    def plain(self) -> dict[str, str]:
        """Role and text, as the chat template takes them."""
        parts = self.content if isinstance(self.content, str) else "".join(each.text for each in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": storable_text(parts)}


class StreamOptions(_Part):
    include_usage: bool = False
    include_obfuscation: bool = False


class TextFormat(_Part):
    type: Literal["text"]


class SamplingRequest(_Part):
    """What both kinds of requests share."""

    model: Text
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    frequency_penalty: Zero | None = None
    presence_penalty: Zero | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @property
    def choices(self) -> int:
        """How many responses to each prompt."""
        return self.n or 1

    @property
    def has_usage_chunk(self) -> bool:
        """Whether the last chunk of a stream says how many tokens there were."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self, max_tokens: int, top_logprobs: int | None, reads_prompt: bool = False) -> Sampling:
        """How each response is sampled; without a seed, by one that nobody knows."""
        temperature = 1.0 if self.temperature is None else self.temperature
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return Sampling(
            temperature=0.0 if temperature < GREEDY_BELOW else temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            max_tokens=max_tokens,
            seed=secrets.randbits(63) if self.seed is None else self.seed,
            stop=stop,
            top_logprobs=top_logprobs,
            reads_prompt=reads_prompt,
        )


class ChatRequest(SamplingRequest):
    """The body of `POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: TextFormat | None = None
    modalities: list[Literal["text"]] | None = None
    tools: list[dict[str, Any]] | None = None  # may be called, need not be: the model is not told of them
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None


class CompletionRequest(SamplingRequest):
    """The body of `POST /v1/completions`."""

    prompt: (
        Text
        | TokenIds
        | Annotated[list[Text], Field(min_length=1, fail_fast=True)]
        | Annotated[list[TokenIds], Field(min_length=1, fail_fast=True)]
    )
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    best_of: Annotated[int, Field(ge=1, le=1)] | None = None
    echo: bool | None = None
    suffix: Literal[""] | None = None

    def prompts(self) -> list[str | list[int]]:
        """The prompts, as texts or token ids."""
        if isinstance(self.prompt, str) or isinstance(self.prompt[0], int):
            return [self.prompt]  # pyright: ignore[reportReturnType]
        return list(self.prompt)  # pyright: ignore[reportReturnType]


def parse(kind: type[BaseModel], body: bytes) -> Any:
    """The request in a body. Raises ApiError with what is wrong, and with the field."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, f"The body is not valid JSON: {error}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise ApiError(400, "The body must be a JSON object.", code="invalid_json")
    for name in value:
        if name not in kind.model_fields:
            raise _unknown(name[:200])
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> ApiError:
    """The first violation; of a field that may have several forms, the one that went furthest."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    field = found[0]["loc"][0] if found[0]["loc"] else ""
    first = max((each for each in found if each["loc"][:1] == (field,)), key=lambda each: len(each["loc"]))
    place = ".".join(str(part) for part in first["loc"])[:200]
    if first["type"] == "extra_forbidden":
        return _unknown(place)
    if first["type"] == "missing":
        return ApiError(
            400, f"Missing required parameter: '{place}'.", param=place, code="missing_required_parameter"
        )
    return ApiError(
        400, f"Invalid value for '{place}': {first['msg']}.", param=str(field)[:200], code="invalid_value"
    )


def _unknown(place: str) -> ApiError:
    words = f"Unrecognized request argument supplied: {place}"
    return ApiError(400, words, param=place, code="unknown_parameter")
