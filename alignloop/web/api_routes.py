"""The OpenAI-compatible API: /v1/models, /v1/chat/completions and /v1/completions.

Prompts and responses are written to no log.
"""

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from alignloop.labeling import api_keys
from alignloop.labeling.api_keys import Allowance, InvalidKey, Scope
from alignloop.serving.engine import Engine
from alignloop.serving.generation import Piece
from alignloop.serving.model_pool import ModelPool
from alignloop.serving.served_version import ServedVersion
from alignloop.web.api_errors import ApiError, api_error, refusal
from alignloop.web.api_schema import ChatRequest, CompletionRequest, SamplingRequest, parse
from alignloop.web.auth import get_database
from alignloop.web.completion_chunks import ChatForm, Form, TextForm, usage
from alignloop.web.live_generation import (
    ClientGone,
    EventStream,
    PlannedPrompt,
    Prompts,
    Responses,
    while_connected,
)
from alignloop.web.local_requests import is_local
from alignloop.web.prompt_room import kept_for_response, room_for, with_room_for_tools
from alignloop.web.rule_checks import Dialogue, Place, begin_checked, get_checks
from alignloop.web.stored_dialogue import StoredDialogue

COMPLETION_TOKENS = 16  # of /v1/completions where a request says nothing, as in OpenAI's API
MAX_PROMPTS = 64
router = APIRouter(prefix="/v1")


def get_pool(request: Request) -> ModelPool:
    """The models that are served."""
    return request.app.state.pool


@router.get("/models")
async def models(request: Request) -> Response:
    """Every name of every version."""
    return await answered(request, "models", _models)


async def _models(request: Request) -> Response:
    data = [each for version in get_pool(request).versions() for each in _entries(version)]
    return json_response({"object": "list", "data": data})


@router.get("/models/{name:path}")
async def model(request: Request, name: str) -> Response:
    """One model by one of its names."""

    async def found(request: Request) -> Response:
        version = get_pool(request).find(name)
        return json_response(next(each for each in _entries(version) if each["id"] == name))

    return await answered(request, "models", found)


def _entries(version: ServedVersion) -> list[dict[str, Any]]:
    shared = {"object": "model", "created": 0, "owned_by": "alignloop", "root": version.name}
    return [{"id": name, **shared} for name in version.names]


@router.post("/chat/completions")
async def chat_completions(request: Request) -> Response:
    """The next turn of a dialogue."""
    return await answered(request, "chat", _chat)


async def _chat(request: Request) -> Response:
    asked: ChatRequest = await run_in_threadpool(parse, ChatRequest, await request.body())
    messages = [message.plain() for message in asked.messages]
    limit = asked.max_completion_tokens or asked.max_tokens
    wanted = (asked.top_logprobs or 0) if asked.logprobs else None
    stored = StoredDialogue(request, messages, asked.model) if asked.store else None

    def plan(engine: Engine) -> tuple[Prompts, list[Dialogue]]:
        checked = get_checks(request).prompt(messages, _place(request))
        if stored:
            stored.keep(checked)
        kept = limit or kept_for_response(engine, None)
        prompt = with_room_for_tools(engine, checked, kept) if asked.tool_choice != "none" else None
        may_call = prompt is not None
        prompt = prompt or engine.encode_dialogue(checked)
        room = room_for(engine, prompt, limit, "messages")
        return [PlannedPrompt(prompt, asked.sampling(limit or room, wanted), may_call)], [checked]

    return await _generate(request, asked, plan, ChatForm(), stored=stored)


@router.post("/completions")
async def completions(request: Request) -> Response:
    """The text that continues each prompt."""
    return await answered(request, "completions", _complete)


async def _complete(request: Request) -> Response:
    asked: CompletionRequest = await run_in_threadpool(parse, CompletionRequest, await request.body())
    prompts, limit = asked.prompts(), asked.max_tokens or COMPLETION_TOKENS
    if asked.echo and asked.stream:
        words = "Prompts are echoed in whole responses: send `stream: false`, or `echo: false`."
        raise ApiError(400, words, param="echo", code="unsupported_value")
    form = TextForm()
    if len(prompts) > MAX_PROMPTS:
        raise ApiError(400, f"At most {MAX_PROMPTS} prompts in one request.", param="prompt", code="too_many")

    def plan(engine: Engine) -> tuple[Prompts, list[Dialogue]]:
        planned: list[PlannedPrompt] = []
        texts: list[Dialogue] = []
        for prompt in prompts:
            ids = _ids(engine, prompt)
            text = prompt if isinstance(prompt, str) else str(engine.tokenizer.decode(list(ids)))
            checked = get_checks(request).prompt([{"role": "user", "content": text}], _place(request))
            if checked[0]["content"] != text:
                ids = engine.encode_text(checked[0]["content"])
            room_for(engine, ids, limit, "prompt")
            reads = bool(asked.echo) and asked.logprobs is not None
            planned.append(PlannedPrompt(ids, asked.sampling(limit, asked.logprobs, reads)))
            texts.append(checked)
        if asked.echo:
            form.echoed = [each[0]["content"] for each in texts for _ in range(asked.choices)]
        return planned, texts

    return await _generate(request, asked, plan, form, prompts=len(prompts))


def _ids(engine: Engine, prompt: str | list[int]) -> tuple[int, ...]:
    if isinstance(prompt, str):
        return engine.encode_text(prompt)
    if max(prompt) >= len(engine.tokenizer):
        words = f"The model has {len(engine.tokenizer)} tokens: token {max(prompt)} is not one of them."
        raise ApiError(400, words, param="prompt", code="invalid_value")
    return tuple(prompt)


async def _generate(
    request: Request,
    asked: SamplingRequest,
    plan: Any,
    form: Form,
    *,
    prompts: int = 1,
    stored: StoredDialogue | None = None,
) -> Response:
    limits = request.app.state.serving
    if asked.choices * prompts > limits.max_running + limits.max_waiting:
        words = f"At most {limits.max_running + limits.max_waiting} responses can be asked for at a time."
        raise ApiError(400, words, param="n", code="too_many")
    starting = begin_checked(
        get_checks(request),
        get_pool(request),
        asked.model,
        plan,
        _place(request),
        prompts=prompts,
        choices=asked.choices,
        strip=form.strips,
    )
    live = await while_connected(request, starting)
    head = {
        "id": f"{form.prefix}-{secrets.token_hex(12)}",
        "object": form.kind,
        "created": int(time.time()),
        "model": live.version.name,
        "system_fingerprint": live.version.hash[:12],
    }
    if asked.stream:
        about = head | {"object": form.chunk_kind}
        events = _events(live, about, form, has_usage=asked.has_usage_chunk, stored=stored)
        return EventStream(events, live.end)
    try:
        choices = await while_connected(request, _collect(live))
    finally:
        live.end()
    if stored:
        stored.add(piece for pieces in choices for piece in pieces)
        await stored.save(head["id"], head["model"])
    whole = [form.choice(live, pieces) for pieces in choices]
    return json_response(head | {"choices": whole, "usage": usage(live)})


async def _collect(live: Responses) -> list[list[Piece]]:
    choices: list[list[Piece]] = [[] for _ in range(live.count)]
    async for pieces in live.pieces():
        for piece in pieces:
            choices[piece.choice].append(piece)
    return choices


async def _events(
    live: Responses,
    head: dict[str, Any],
    form: Form,
    *,
    has_usage: bool,
    stored: StoredDialogue | None,
) -> AsyncIterator[bytes]:
    extra = {"usage": None} if has_usage else {}

    def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
        return b"data: " + orjson.dumps({**head, "choices": choices, **extra, **more}) + b"\n\n"

    try:
        for choice in range(live.count):
            if opening := form.opening(choice):
                yield event([opening])
        async for pieces in live.pieces():
            if stored:
                stored.add(pieces)
            parts = [part for piece in pieces for part in form.parts(live, piece)]
            yield b"".join(event([part]) for part in parts)
        if stored:
            await stored.save(head["id"], head["model"])
        if has_usage:
            yield event([], usage=usage(live))
        yield b"data: [DONE]\n\n"
    except Exception as error:  # the response has begun: the error is an event of it
        yield b"data: " + orjson.dumps(api_error(error).body) + b"\n\n"


async def answered(request: Request, scope: Scope, work: Any) -> Response:
    """What `work` responds to an authorised request, or an error object."""
    try:
        allowance = await _authorise(request, scope)
        request.state.caller = allowance.key if allowance else "this machine"
        request.state.api_key = allowance.key if allowance else None
        response = await work(request)
    except (ClientGone, ClientDisconnect):
        return Response(status_code=499)
    except HTTPException as error:  # the guard's: too long, or too slow
        return refusal(request, error.status_code, str(error.detail))
    except Exception as error:
        return api_error(error).response()
    if allowance and allowance.limit is not None:
        response.headers["x-ratelimit-limit-requests"] = str(allowance.limit)
        response.headers["x-ratelimit-remaining-requests"] = str(allowance.left)
        response.headers["x-ratelimit-reset-requests"] = f"{allowance.reset_seconds}s"
    return response


async def _authorise(request: Request, scope: Scope) -> Allowance | None:
    """Count a request of the key. Raises InvalidKey, MissingScope or LimitExceeded."""
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and key.strip().startswith(api_keys.PREFIX):
        return await run_in_threadpool(api_keys.use, get_database(request), key.strip(), scope)
    if is_open(request):
        return None
    raise InvalidKey(
        "an API key is needed: send it as `Authorization: Bearer al-…`; "
        "`python -m alignloop chat create-key NAME` makes one"
    )


def is_open(request: Request) -> bool:
    """Whether a request needs no key: of this machine, if params.yaml says so."""
    return request.app.state.serving.open_on_loopback and is_local(request)


def _place(request: Request) -> Place:
    return Place(request.state.caller, request.url.path)


def json_response(value: Any) -> Response:
    """A value as JSON that nobody keeps."""
    return Response(orjson.dumps(value), media_type="application/json", headers={"Cache-Control": "no-store"})
