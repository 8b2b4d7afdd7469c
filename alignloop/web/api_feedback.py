"""Feedback by the API on responses that a client asked to store, and the consent of a key to their use."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from alignloop.labeling import consent, feedback, stored_responses
from alignloop.labeling.consent import StatementChanged
from alignloop.labeling.conversations import ConversationNotFound
from alignloop.labeling.feedback import FeedbackRefused
from alignloop.web.api_errors import ApiError
from alignloop.web.api_routes import answered, json_response
from alignloop.web.api_schema import parse
from alignloop.web.auth import get_database
from alignloop.web.chat_consent import consent_of, get_statement
from alignloop.web.forms import storable_text

router = APIRouter(prefix="/v1")
THUMBS = {"up": True, "down": False, "none": None}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class FeedbackRequest(_Body):
    """The body of `POST /v1/feedback`: a thumb, an edit, or both, on one choice of a response."""

    response: Annotated[str, Field(min_length=1, max_length=100)]
    choice: Annotated[int, Field(ge=0, le=100)] = 0
    thumb: Literal["up", "down", "none"] | None = None
    reason: Annotated[str, Field(max_length=2000)] = ""
    edit: Annotated[str, Field(min_length=1, max_length=100_000)] | None = None


class ConsentRequest(_Body):
    """The body of `POST /v1/consent`: `version` is that of the statement that was read."""

    version: Annotated[str, Field(max_length=100)]
    agreed: bool


@router.post("/feedback")
async def give(request: Request) -> Response:
    """Save feedback on a stored response of the key."""
    return await answered(request, "chat", _give)


async def _give(request: Request) -> Response:
    asked: FeedbackRequest = await run_in_threadpool(parse, FeedbackRequest, await request.body())
    if asked.thumb is None and asked.edit is None:
        raise ApiError(
            400, "Send `thumb`, `edit`, or both.", param="thumb", code="missing_required_parameter"
        )
    await run_in_threadpool(_save, request, owner(request), asked)
    return json_response(
        {"object": "feedback", "response": asked.response, "choice": asked.choice, "saved": True}
    )


def _save(request: Request, owner: str, asked: FeedbackRequest) -> None:
    database = get_database(request)
    try:
        with database.reading() as session:
            message = stored_responses.find(session, owner, asked.response, asked.choice)
        if asked.edit is not None:  # the one that may be refused comes first
            feedback.edit(database, owner, asked.response, message, storable_text(asked.edit))
        if asked.thumb is not None:
            is_up, reason = THUMBS[asked.thumb], storable_text(asked.reason)
            feedback.rate(database, owner, asked.response, message, is_up=is_up, reason=reason)
    except ConversationNotFound as error:
        raise ApiError(404, str(error), param="response", code="response_not_found") from None
    except FeedbackRefused as error:
        raise ApiError(400, str(error), param="edit", code="invalid_value") from None


@router.get("/consent")
async def shown(request: Request) -> Response:
    """What is agreed to, and whether the key has agreed."""
    return await answered(request, "chat", _shown)


async def _shown(request: Request) -> Response:
    statement = get_statement(request)
    given = await run_in_threadpool(consent_of, request, owner(request))
    about = {"version": statement.version, "text": statement.text, "licence": statement.licence}
    return json_response({"object": "consent", **about, "agreed": given.is_given, "since": given.since})


@router.post("/consent")
async def decide(request: Request) -> Response:
    """Save what the holder of the key decided."""
    return await answered(request, "chat", _decide)


async def _decide(request: Request) -> Response:
    asked: ConsentRequest = await run_in_threadpool(parse, ConsentRequest, await request.body())
    values: dict[str, Any] = {"version": asked.version, "agreed": asked.agreed}
    what = get_database(request), owner(request), get_statement(request)
    try:
        await run_in_threadpool(consent.decide, *what, **values)
    except StatementChanged as error:
        raise ApiError(409, str(error), param="version", code="statement_changed") from None
    return await _shown(request)


def owner(request: Request) -> str:
    """Whose feedback it is. Raises ApiError without a key."""
    if request.state.api_key is None:
        words = "Feedback and consent need an API key: without one nobody knows whose they are."
        raise ApiError(401, words, code="invalid_api_key")
    return stored_responses.owner_of(request.state.api_key)
