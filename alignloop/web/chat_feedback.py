"""Feedback on responses of the chat page: thumbs, edits, and choices between two responses."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from alignloop.labeling import conversations, feedback
from alignloop.labeling.consent import StatementChanged
from alignloop.labeling.conversations import Shown
from alignloop.labeling.feedback import FeedbackRefused
from alignloop.labeling.feedback_schema import Choice
from alignloop.labeling.served_opinions import Compared
from alignloop.labeling.serving_schema import Conversation
from alignloop.web import candidate_share
from alignloop.web.auth import get_database
from alignloop.web.chat_people import Keyed
from alignloop.web.forms import storable_text

router = APIRouter(prefix="/chat/c/{id}")
ERRORS: dict[type[Exception], int] = {FeedbackRefused: 409, StatementChanged: 409}
THUMBS = {"up": True, "down": False, "none": None}
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Thumb(_Body):
    """A thumb on a response; `none` takes it back."""

    response: Number
    thumb: Literal["up", "down", "none"]
    reason: Annotated[str, Field(max_length=2000)] = ""


class Edit(_Body):
    """What a response should have been."""

    response: Number
    text: Annotated[str, Field(min_length=1, max_length=100_000)]


class Chosen(_Body):
    """Which of two responses is better."""

    comparison: Number
    choice: Choice


@router.post("/thumb")
async def thumb(request: Request, id: str, body: Thumb, known: Keyed) -> Response:
    """Save a thumb with its reason, or take it back."""
    is_up, reason = THUMBS[body.thumb], storable_text(body.reason)
    save = partial(feedback.rate, get_database(request), known.owner, id, body.response)
    compared = await run_in_threadpool(_compared, request, known.owner, id)
    return await _saved(partial(save, is_up=is_up, reason=reason, compared=compared))


@router.post("/edit")
async def edit(request: Request, id: str, body: Edit, known: Keyed) -> Response:
    """Save what a response should have been."""
    text = storable_text(body.text)
    return await _saved(
        partial(feedback.edit, get_database(request), known.owner, id, body.response, text=text)
    )


@router.post("/choice")
async def choice(request: Request, id: str, body: Chosen, known: Keyed) -> Response:
    """Save which of two responses is better."""
    save = partial(feedback.choose, get_database(request), known.owner, id, body.comparison)
    return await _saved(partial(save, choice=body.choice))


def _compared(request: Request, owner: str, id: str) -> Compared | None:
    if request.app.state.pool.candidate() is None:
        return None
    with get_database(request).reading() as session:
        return candidate_share.compared(request, conversations.find(session, owner, id))


async def _saved(save: Callable[[], None]) -> Response:
    await run_in_threadpool(save)
    return JSONResponse({"done": True})


def thread_values(session: Any, conversation: Conversation | None, shown: Sequence[Shown]) -> dict[str, Any]:
    """What the messages of a branch are shown with: opinions, and the comparison that waits for a choice."""
    opinions = feedback.opinions(session, [each.message.id for each in shown])
    leaf = shown[-1].message.id if shown else None
    waiting = feedback.open_comparison(session, conversation.id, leaf) if conversation else None
    pair = feedback.compared(session, waiting) if waiting else ()
    values = {"opinions": opinions, "unrated": feedback.Opinion(), "waiting": waiting, "pair": pair}
    return {"shown": shown, **values}
