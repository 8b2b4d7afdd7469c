"""Suggestions on the chat page: how a text that is being typed may continue, and what became of them.

A prompt that is not sent is stored with the person's consent alone.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from alignloop.labeling import suggestions
from alignloop.labeling.feedback_schema import Outcome
from alignloop.labeling.suggestions import SYSTEM, SuggestionNotFound
from alignloop.serving.engine import Engine
from alignloop.web.api_routes import get_pool
from alignloop.web.api_schema import SamplingRequest
from alignloop.web.auth import get_database
from alignloop.web.chat_consent import consent_of
from alignloop.web.chat_people import Keyed
from alignloop.web.forms import storable_text
from alignloop.web.live_generation import PlannedPrompt, Prompts, while_connected
from alignloop.web.prompt_room import fitted
from alignloop.web.rule_checks import Dialogue, Place, begin_checked, get_checks

router = APIRouter(prefix="/chat/suggestions")
ERRORS: dict[type[Exception], int] = {SuggestionNotFound: 404}
TOKENS = 16  # of a suggestion at most
WHERE = "suggestion"  # in the audit


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Typed(_Body):
    """A text as far as it is typed, and the model that is talked to."""

    text: Annotated[str, Field(pattern=r"\S", max_length=20_000)]
    model: Annotated[str, Field(min_length=1, max_length=200)]


class Decided(_Body):
    """What became of a suggestion."""

    outcome: Outcome
    taken: Annotated[str, Field(max_length=20_000)] = ""


@router.post("")
async def suggest(request: Request, body: Typed, known: Keyed) -> Response:
    """The most probable continuation, empty where there is none; `id` is null where it is not kept."""
    text = storable_text(body.text)
    completion, model = await while_connected(request, _completed(request, text, body.model, known.owner))
    id = None
    if completion and consent_of(request, known.owner).is_given:
        keep: Any = (get_database(request), known.owner, text, completion, model)
        id = await run_in_threadpool(suggestions.add, *keep)
    return JSONResponse({"id": id, "text": completion})


@router.post("/{id}")
async def decide(
    request: Request, id: Annotated[int, Path(ge=1, le=2**31 - 1)], body: Decided, known: Keyed
) -> Response:
    """Save what became of a suggestion."""
    what: Any = (get_database(request), known.owner, id, body.outcome, storable_text(body.taken))
    await run_in_threadpool(suggestions.decide, *what)
    return JSONResponse({"done": True})


async def _completed(request: Request, text: str, model: str, owner: str) -> tuple[str, str]:
    """A continuation of the text, and the version that wrote it; empty where a rule lets none through."""
    asked = SamplingRequest(model=model, temperature=0, max_tokens=TOKENS, stop="\n")
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    checks, place = get_checks(request), Place(owner, WHERE)

    def plan(engine: Engine) -> tuple[Prompts, list[Dialogue]]:
        checked = checks.prompt(messages, place, is_new=True)
        prompt = fitted(engine, checked, TOKENS).prompt
        return [PlannedPrompt(prompt, asked.sampling(TOKENS, None))], [checked]

    live = await begin_checked(checks, get_pool(request), model, plan, place)
    written, is_blocked = "", False
    try:
        async for pieces in live.pieces():
            written += "".join(piece.text for piece in pieces)
            is_blocked |= any(piece.finish == "content_filter" for piece in pieces)
    finally:
        live.end()
    return "" if is_blocked else storable_text(written).rstrip(), live.version.name
