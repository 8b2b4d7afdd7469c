"""A response's tokens while a vLLM server draws them: server-sent events of `/v1/completions`, checked.

Token ids go in and come out, with a seed a response. A closed connection ends the response on the server
too. Nothing is asked twice: whoever waits for a response is told at once, and may ask again.
"""

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx

from alignloop.core.tokens import TokenRules
from alignloop.errors import AlignloopError
from alignloop.inference.completions import PATH, BadReply, draw_settings, read_score, score_request
from alignloop.inference.exchange import MAX_REPLY, RETRIED_STATUSES, exchange, shown

TOKEN = "token_id:"  # what precedes the id where vLLM names a token by its id
MOST_TOLD = 20  # vLLM's --max-logprobs
LOWEST = -9999.0  # what vLLM writes for minus infinity


class StreamError(AlignloopError):
    """A server did not give what was asked for."""


class ServerAway(StreamError):
    """The server cannot be reached, is busy, fails or is too slow: the same request may succeed later."""


class WrongReply(StreamError):
    """The server replies with something else than what it was asked for."""


class StreamedToken(NamedTuple):
    """A token, its log-probability and the most probable tokens at its place; None: not asked for."""

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class Chunk(NamedTuple):
    """What one event brings: tokens of the response, and those of the prompt before the first."""

    tokens: list[StreamedToken]
    prompt: list[StreamedToken]


@dataclass(frozen=True)
class StreamPlan:
    """How one response is drawn. `top_logprobs` None: no log-probabilities."""

    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    top_logprobs: int | None = None
    reads_prompt: bool = False  # the log-probabilities of the prompt's tokens too

    def request(self, model: str, prompt: Sequence[int], rules: TokenRules) -> dict[str, Any]:
        """The body of the request. Raises SamplerError where too many tokens are forbidden."""
        is_greedy = self.temperature == 0 or self.top_p == 0
        return {
            **draw_settings(model, rules, 0.0 if is_greedy else self.temperature, self.max_tokens),
            "prompt": list(prompt),
            "seed": self.seed,
            "top_p": 1.0 if is_greedy else self.top_p,
            "logprobs": self._asked_for(rules),
            "return_tokens_as_token_ids": True,
            "echo": self.reads_prompt,
            "stream": True,
        }

    def _asked_for(self, rules: TokenRules) -> int | None:
        """Log-probabilities a place: forbidden tokens may be among the most probable, and are left out."""
        if not self.top_logprobs:
            return self.top_logprobs
        return max(self.top_logprobs, min(MOST_TOLD, self.top_logprobs + int((~rules.allowed).sum())))


class Served(NamedTuple):
    """What a server says of itself: its version, its model's name and folder, its longest row in tokens."""

    version: str
    name: str
    folder: str
    longest: int


def greet(url: str, key: str, timeout_s: float) -> Served:
    """Ask a server what it serves. Raises ServerAway or WrongReply."""
    about, models = (_asked("GET", url + path, None, key, timeout_s) for path in ("/version", "/v1/models"))
    try:
        model = models["data"][0]
        return Served(
            str(about["version"]), str(model["id"]), str(model["root"]), int(model["max_model_len"])
        )
    except (KeyError, IndexError, TypeError, ValueError):
        raise WrongReply("it names no version or no model: it is not vLLM") from None


def score(url: str, key: str, model: str, row: Sequence[int], timeout_s: float) -> list[float]:
    """The log-probability of each token of a row after the first, at temperature 1, over all tokens.

    Raises ServerAway or WrongReply.
    """
    reply = _asked("POST", url + PATH, score_request(model, row), key, timeout_s)
    try:
        return read_score(reply, row).tolist()
    except BadReply as error:
        raise WrongReply(str(error)) from None


def _asked(method: str, url: str, body: Any, key: str, timeout_s: float) -> Any:
    try:
        with httpx.Client(headers=_header(key), timeout=timeout_s, trust_env=False) as client:
            reply = exchange(client, method, url, body, timeout_s)
    except httpx.HTTPError as error:
        raise ServerAway(f"the connection failed ({error or type(error).__name__})") from None
    if reply.status != 200:
        raise _kind(reply.status)(f"status {reply.status}: {shown(reply.content)}")
    try:
        return json.loads(reply.content)
    except ValueError:
        raise WrongReply(f"the reply is no JSON: {shown(reply.content)}") from None


def _header(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _kind(status: int) -> type[StreamError]:
    return ServerAway if status in RETRIED_STATUSES else WrongReply


class TokenStreams:
    """Asks the server at `url`, which knows its model as `model`. Used on one event loop.

    A stream fails that brings nothing for `timeout_s` seconds.
    """

    def __init__(self, url: str, key: str, model: str, *, at_once: int, timeout_s: float) -> None:
        self._model, self._timeout_s = model, timeout_s
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=_header(key),
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=at_once),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def draw(
        self, prompt: Sequence[int], plan: StreamPlan, rules: TokenRules
    ) -> AsyncGenerator[Chunk, None]:
        """The response's tokens as they come, to its end. Raises ServerAway or WrongReply."""
        body = plan.request(self._model, prompt, rules)
        reader = _Reader(self._model, prompt, plan, rules)
        try:
            async with self._client.stream("POST", PATH, json=body) as reply:
                if reply.status_code != 200:
                    raise await _refusal(reply)
                async for event in _events(reply):
                    if chunk := reader.read(event):
                        yield chunk
                    if reader.has_ended:
                        return
        except httpx.TimeoutException:
            raise ServerAway(f"it brought nothing for {self._timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise ServerAway(f"the connection failed ({error or type(error).__name__})") from None
        except BadReply as error:
            raise WrongReply(str(error)) from None
        raise ServerAway(f"the response was cut after {reader.count} tokens")


async def _refusal(reply: httpx.Response) -> StreamError:
    content = bytearray()
    async for piece in reply.aiter_bytes():
        content += piece
        if len(content) > 1000:
            break
    return _kind(reply.status_code)(f"status {reply.status_code}: {shown(bytes(content))}")


async def _events(reply: httpx.Response) -> AsyncIterator[Any]:
    """The JSON values of the data lines. Raises BadReply."""
    size = 0
    async for line in reply.aiter_lines():
        size += len(line)
        if size > MAX_REPLY:
            raise BadReply(f"the reply is longer than {MAX_REPLY:,} bytes")
        if not line.strip() or line.startswith(":"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        try:
            yield json.loads(data)
        except ValueError:
            raise BadReply(f"the reply is no stream of JSON: {shown(line.encode())}") from None


class _Reader:
    """Checks the events of one response, each after those before."""

    def __init__(self, model: str, prompt: Sequence[int], plan: StreamPlan, rules: TokenRules) -> None:
        self._model, self._prompt = model, list(prompt)
        self._plan, self._rules = plan, rules
        self._is_about_prompt = False
        self.count = 0
        self.has_ended = False

    def read(self, event: Any) -> Chunk | None:
        """The tokens in an event. Raises BadReply or ServerAway."""
        if isinstance(event, Mapping) and "error" in event:
            raise ServerAway(f"it failed: {shown(json.dumps(event['error']).encode())}")
        choices = event.get("choices") if isinstance(event, Mapping) else None
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], Mapping):
            raise BadReply(f"{len(choices) if isinstance(choices, list) else 'no'} responses came, not 1")
        if event.get("model") != self._model:
            raise BadReply(f"it is of the model {event.get('model')!r}, not {self._model!r}")
        choice = choices[0]
        is_first = not self._is_about_prompt
        if is_first and choice.get("prompt_token_ids") != self._prompt:
            raise BadReply("it is about another prompt")
        self._is_about_prompt = True
        ids = self._ids(choice.get("token_ids"), choice.get("finish_reason"))
        told = self._told(choice.get("logprobs"), ids, is_first)
        if not told:
            return Chunk([StreamedToken(token) for token in ids], [])
        return Chunk(told[len(told) - len(ids) :], told[: len(told) - len(ids)])

    def _ids(self, ids: Any, reason: Any) -> list[int]:
        rules, limit = self._rules, self._plan.max_tokens
        if not isinstance(ids, list) or any(type(token) is not int for token in ids):
            raise BadReply("an event has no token ids")
        self.count += len(ids)
        wrong = [token for token in ids if not (0 <= token < len(rules.allowed) and rules.allowed[token])]
        if wrong:
            raise BadReply(f"token {wrong[0]} was drawn, which no response may contain")
        if rules.end in ids[:-1] or self.count > limit:
            raise BadReply(f"{self.count} tokens came, beyond the end token or the {limit} asked for")
        is_whole = self.count == limit or (bool(ids) and ids[-1] == rules.end)
        if not is_whole and reason is not None:
            raise BadReply(
                f"it ended ({reason!r}) after {self.count} of {limit} tokens, without the end token"
            )
        self.has_ended = is_whole
        return ids

    def _told(self, logprobs: Any, ids: Sequence[int], is_first: bool) -> list[StreamedToken]:
        """The log-probabilities of the ids, and before the first of the prompt where they are asked for."""
        if self._plan.top_logprobs is None:
            return []
        wanted = [*self._prompt, *ids] if is_first and self._plan.reads_prompt else list(ids)
        told = logprobs if isinstance(logprobs, Mapping) else {}
        names, values = told.get("tokens") or [], told.get("token_logprobs") or []
        tops = told.get("top_logprobs") or []
        if not len(names) == len(values) == len(tops) == len(wanted):
            raise BadReply(f"{len(values)} log-probabilities came with {len(wanted)} tokens")
        if names != [f"{TOKEN}{token}" for token in wanted]:
            raise BadReply("log-probabilities of other tokens came")
        most, allowed = self._plan.top_logprobs, self._rules.allowed
        first, told = len(wanted) - len(ids), []  # the response's first
        for place, (token, value, top) in enumerate(zip(wanted, values, tops, strict=True)):
            logprob, pairs = _values(value, top)
            if place >= first:
                pairs = [pair for pair in pairs if pair[0] < len(allowed) and allowed[pair[0]]]
            told.append(StreamedToken(token, logprob, tuple(pairs[:most])))
        return told


def _values(value: Any, top: Any) -> tuple[float | None, list[tuple[int, float]]]:
    """A token's log-probability, and the most probable tokens in order; None at a prompt's beginning."""
    if value is None:
        return None, []
    named = top if isinstance(top, Mapping) else {}
    for each in (value, *named.values()):
        if type(each) not in (int, float) or not math.isfinite(each) or each > 1e-3:
            raise BadReply(f"log-probabilities must be finite and at most 0, got {each!r}")
    try:
        pairs = [(int(name.removeprefix(TOKEN)), float(each)) for name, each in named.items()]
    except ValueError:
        raise BadReply("log-probabilities name tokens by their text") from None
    found = [pair for pair in pairs if pair[1] > LOWEST]
    return float(value), sorted(found, key=lambda pair: (-pair[1], pair[0]))
