"""The chat page: conversations, and responses that are streamed to it.

The page's script sends JSON with the session's key, and shows what the server renders.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from alignloop.labeling import consent, conversations
from alignloop.labeling.conversations import ConversationFull, ConversationNotFound
from alignloop.labeling.serving_schema import UNREAD, ChatMessage, Conversation
from alignloop.serving.engine import NotServing, QueueFull, ServerRefused, ServerUnavailable
from alignloop.serving.model_pool import ModelNotFound, ModelPool, ModelsInUse
from alignloop.web import candidate_share, chat_compare
from alignloop.web.api_routes import get_pool
from alignloop.web.auth import get_database
from alignloop.web.chat_consent import get_statement
from alignloop.web.chat_feedback import thread_values
from alignloop.web.chat_people import Keyed, Known, Person
from alignloop.web.chat_turns import SECOND, Turns, Written
from alignloop.web.forms import storable_text
from alignloop.web.live_generation import EventStream
from alignloop.web.prompt_room import TurnRefused
from alignloop.web.rendering import error_page, render_page
from alignloop.web.rule_checks import NotChecked, Place, get_checks

router = APIRouter(prefix="/chat")
ERRORS: dict[type[Exception], int] = {
    ConversationNotFound: 404,
    ConversationFull: 409,
    TurnRefused: 409,
    ModelNotFound: 404,
    ModelsInUse: 429,
    QueueFull: 429,
    NotChecked: 503,
    NotServing: 503,
    ServerRefused: 502,
    ServerUnavailable: 503,
}
Id = Annotated[str, Path(pattern=r"^[\w-]{10,40}$")]
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Settings(_Body):
    """What the settings of a conversation may be."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    system: Annotated[str, Field(max_length=20_000)] = ""
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**53)] | None = None

    def columns(self) -> dict[str, Any]:
        """As the conversation stores them."""
        sampling = self.model_dump(include={"temperature", "top_p", "max_tokens", "seed"})
        return {"model": self.model, "system": storable_text(self.system), "sampling": sampling}


class NewPrompt(_Body):
    """A prompt: after the response `parent`, or as another first one; in a new conversation with settings."""

    content: Annotated[str, Field(min_length=1, max_length=100_000)]
    parent: Number | None = None
    conversation: Annotated[str, Field(pattern=r"^[\w-]{10,40}$")] | None = None
    settings: Settings | None = None


class Again(_Body):
    """Another response to a prompt."""

    prompt: Number


class Change(_Body):
    """What to do with a conversation."""

    act: Literal["rename", "delete", "settings", "show", "stop"]
    title: Annotated[str, Field(max_length=200)] = ""
    settings: Settings | None = None
    message: Number | None = None


def error_handler(status: int) -> Callable[[Request, Exception], Response]:
    """Shows one of ERRORS."""
    return lambda request, error: error_page(request, status, str(error))


@router.get("")
def new_conversation(request: Request, known: Known) -> Response:
    """The page with no conversation yet."""
    return _page(request, known, None)


@router.get("/c/{id}")
def conversation(request: Request, id: Id, known: Known) -> Response:
    """The page with a conversation."""
    return _page(request, known, id)


@router.get("/c/{id}/thread")
def thread(request: Request, id: Id, known: Known) -> Response:
    """The messages of a conversation as a part of the page."""
    with get_database(request).reading() as session:
        found = conversations.find(session, known.owner, id)
        values = thread_values(session, found, conversations.branch(session, found))
        values["shown_name"] = candidate_share.shown_name(request, found)
    return render_page(request, "chat_thread.html", **values)


@router.get("/list")
def listed(request: Request, known: Known, q: Annotated[str, Query(max_length=200)] = "") -> Response:
    """The conversations as a part of the page; with `q`, those that contain it."""
    with get_database(request).reading() as session:
        found = conversations.listed(session, known.owner, storable_text(q.strip()))
    return render_page(
        request, "chat_list.html", conversations=found, current=None, is_search=bool(q.strip())
    )


@router.post("/prompts")
async def prompt(request: Request, body: NewPrompt, known: Keyed) -> Response:
    """Save a prompt and stream the response to it; the header X-Conversation names a new conversation."""
    database, id = get_database(request), body.conversation
    checks, place = get_checks(request), Place(known.owner, id or "")
    content = await run_in_threadpool(checks.stored, storable_text(body.content), place)
    if id is None:
        settings = (body.settings or Settings(model=get_pool(request).standard)).columns()
        get_pool(request).find(settings["model"])
        id = await run_in_threadpool(conversations.create, database, known.owner, content, **settings)
    elif _turns(request).running(id):
        raise TurnRefused("A response is being written in this conversation: stop it first.")
    saved = await run_in_threadpool(
        conversations.add_prompt, database, known.owner, id, parent=body.parent, content=content
    )
    return await _respond(request, known, id, saved, may_compare=True)


@router.post("/c/{id}/again")
async def again(request: Request, id: Id, body: Again, known: Keyed) -> Response:
    """Stream another response to a prompt; the earlier ones stay."""
    return await _respond(request, known, id, body.prompt)


@router.post("/c/{id}")
async def change(request: Request, id: Id, body: Change, known: Keyed) -> Response:
    """Rename or delete a conversation, change its settings, show another branch, stop its response."""
    database, turns = get_database(request), _turns(request)
    what: tuple[Any, ...] = (database, known.owner, id)
    match body.act:
        case "rename":
            await run_in_threadpool(conversations.change, *what, title=storable_text(body.title))
        case "settings" if body.settings:
            get_pool(request).find(body.settings.model)
            await run_in_threadpool(conversations.change, *what, **body.settings.columns())
        case "show" if body.message:
            await run_in_threadpool(conversations.show, database, known.owner, id, body.message)
        case "stop" | "delete":
            await run_in_threadpool(_find, request, known, id)
            while (turn := turns.running(id)) and turn.task:
                turn.stop()
                await turn.task
            if body.act == "delete":
                await run_in_threadpool(conversations.delete_conversation, *what)
        case _:
            return JSONResponse({"problem": f"{body.act} needs more than this."}, 422)
    return JSONResponse({"done": True})


async def _respond(
    request: Request, known: Person, id: str, prompt: int, may_compare: bool = False
) -> Response:
    database = get_database(request)

    def read() -> tuple[Conversation, list[dict[str, str]]]:
        with database.reading() as session:
            found = conversations.find(session, known.owner, id)
            shown = [each.message for each in conversations.branch(session, found, prompt)]
        if shown[-1].role != "user":
            raise ConversationNotFound("There is no such prompt.")
        system = [{"role": "system", "content": found.system}] if found.system.strip() else []
        read = [{"role": each.role, "content": each.content} for each in _without_blocked(shown)]
        return found, [*system, *read]

    found, messages = await run_in_threadpool(read)

    def save(written: Written) -> int:
        values = {name: getattr(written, name) for name in ("state", "model", "left_out", "ask", "turns")}
        values |= {"content": written.text, "system": found.system}
        return conversations.add_response(database, known.owner, id, parent=prompt, **values)

    settings = {key: value for key, value in found.sampling.items() if value is not None}
    asked: dict[str, Any] = {"messages": messages, "settings": settings}
    turns, pair = _turns(request), chat_compare.Pair(database, known.owner, id)
    is_two = may_compare and await run_in_threadpool(
        chat_compare.is_due, request, known.owner, found.sampling
    )
    models = candidate_share.models_of(request, found, is_two=is_two)
    saver = pair.saver(0, save) if is_two else save
    first = await turns.begin(known.owner, id, model=models[0], **asked, save=saver)
    if is_two and not first.is_blocked:
        saver = pair.saver(1, save)
        try:
            second = await turns.begin(known.owner, id + SECOND, model=models[1], **asked, save=saver)
        except (QueueFull, ModelsInUse, TurnRefused):  # busy: this turn has one response, as most have
            return EventStream(first.sent(), first.stop, **{"X-Conversation": id})
        events = chat_compare.events_of((first, second))
        return EventStream(events, lambda: (first.stop(), second.stop()), **{"X-Conversation": id})
    return EventStream(first.sent(), first.stop, **{"X-Conversation": id})


def _without_blocked(shown: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages but for those that a rule or a person did not let through: no model may read them."""
    blocked = {id for each in shown if each.state in UNREAD for id in (each.id, each.parent)}
    return [each for each in shown if each.id not in blocked]


def _find(request: Request, known: Person, id: str) -> Conversation:
    with get_database(request).reading() as session:
        return conversations.find(session, known.owner, id)


def _turns(request: Request) -> Turns:
    return request.app.state.turns


def _page(request: Request, known: Person, id: str | None) -> Response:
    pool: ModelPool = get_pool(request)
    with get_database(request).reading() as session:
        found = conversations.find(session, known.owner, id) if id else None
        shown = thread_values(session, found, conversations.branch(session, found) if found else [])
        given = consent.consent_of(session, known.owner, get_statement(request).version)
        listed = conversations.listed(session, known.owner)
    model = found.model if found else pool.standard
    versions = pool.versions()
    current = next((version for version in versions if model in version.names), None)
    return render_page(
        request,
        "chat.html",
        person=known,
        conversations=listed,
        current=found,
        **shown,
        shown_name=candidate_share.shown_name(request, found),
        given=given,
        model=model,
        version=current,
        names=[name for version in versions for name in version.names],
        sampling=(Settings(model=model).columns()["sampling"]) | (found.sampling if found else {}),
        system=found.system if found else "",
        is_search=False,
    )
