"""The chat page and the OpenAI-compatible API as a FastAPI application, with the labeling pages' accounts."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from alignloop.labeling.consent import Statement
from alignloop.labeling.database import LabelingDatabase
from alignloop.params.serving import Serving
from alignloop.rules.rule_set import RuleSet
from alignloop.serving.model_pool import ModelPool
from alignloop.web import (
    api_feedback,
    api_routes,
    auth,
    chat_consent,
    chat_feedback,
    chat_people,
    chat_routes,
    chat_suggest,
    metrics_routes,
    moderation_routes,
    watch_routes,
)
from alignloop.web.api_errors import API, api_error, refusal
from alignloop.web.auth import NotSignedIn
from alignloop.web.chat_turns import Turns
from alignloop.web.rendering import HERE, add_error_pages
from alignloop.web.request_guard import RequestGuard
from alignloop.web.rule_checks import RuleChecks
from alignloop.web.serving_history import ServingHistory
from alignloop.web.serving_metrics import CountRequests, ServingMetrics

ROUTES = (
    api_feedback,
    api_routes,
    auth,
    chat_people,
    chat_consent,
    chat_feedback,
    chat_routes,
    chat_suggest,
    metrics_routes,
    moderation_routes,
    watch_routes,
)
ERRORS = chat_routes.ERRORS | chat_feedback.ERRORS | chat_suggest.ERRORS | moderation_routes.ERRORS


def create_chat_app(
    database: LabelingDatabase, serving: Serving, pool: ModelPool, rules: RuleSet, statement: Statement
) -> FastAPI:
    """The application on an open database and models that are served under rules.

    `statement` is what people agree to.
    """
    app = FastAPI(title="Alignloop chat", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.database = database
    app.state.settings = app.state.serving = serving  # `url` is what the sign-in pages read
    app.state.pool = pool
    app.state.metrics = ServingMetrics(pool, database, serving)
    app.state.history = ServingHistory(app.state.metrics.counted, database)
    app.state.checks = RuleChecks(rules, database, app.state.metrics)
    app.state.turns = Turns(pool, app.state.checks)
    app.state.statement = statement
    app.state.has_labeling_pages = False
    add_error_pages(app)
    for kind, status in ERRORS.items():
        app.add_exception_handler(kind, chat_routes.error_handler(status))
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _no_such_page)
    app.add_exception_handler(Exception, _failure)
    app.add_exception_handler(NotSignedIn, chat_people.to_sign_in)
    app.add_middleware(RequestGuard, url=serving.url, refuse=refusal, setting="serving.url")
    app.add_middleware(CountRequests, metrics=app.state.metrics)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    for part in ROUTES:
        app.include_router(part.router)

    @app.get("/")
    def home() -> RedirectResponse:
        """The chat page."""
        return RedirectResponse("/chat", 303)

    @app.get("/health")
    def health() -> PlainTextResponse:
        """Whether the database can be reached, and how busy the models are."""
        with database.reading() as session:
            session.connection()
        running, waiting = pool.load()
        return PlainTextResponse(f"ok: {running} responses run, {waiting} wait")

    return app


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(request, error.status_code, str(error.detail))


def _no_such_page(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if request.method == "POST":
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])[:100]
        return refusal(request, 422, f"{place}: {first['msg']}")
    return refusal(request, 404, "There is no such page.")


def _failure(request: Request, error: Exception) -> Response:
    if request.url.path.startswith(API):
        return api_error(error).response()
    return refusal(request, 500, "The server failed; its log has the cause.")
