"""Rendering of pages: templates that escape everything, security headers, and one page for all errors."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alignloop.labeling.accounts import AccessRefused, TooManySignIns
from alignloop.labeling.assignments import AssignmentNotFound
from alignloop.labeling.database import DiskFullError, LabelingDatabaseError
from alignloop.web.text_blocks import blocks

HERE = Path(__file__).parent
MAX_REQUEST_BYTES = 1 << 20
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address of an invitation link is a secret
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
ERRORS: tuple[tuple[type[Exception], int, str], ...] = (
    (
        DiskFullError,
        507,
        "Nothing was saved: the disk is full. Keep this page open, tell your administrator, and send again.",
    ),
    (TooManySignIns, 429, ""),
    (AccessRefused, 403, ""),
    (AssignmentNotFound, 404, ""),
    (LabelingDatabaseError, 400, ""),
)
_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    auto_reload=False,
)
_templates.filters["blocks"] = blocks
_templates.filters["moment"] = lambda seconds: datetime.fromtimestamp(seconds, UTC).strftime(
    "%Y-%m-%d %H:%M:%S"
)


def render_page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """An HTML response from a template, which gets the signed-in account as `account`."""
    account = getattr(request.state, "account", None)
    text = _templates.get_template(template).render(account=account, **values)
    return HTMLResponse(text, status, headers={"Cache-Control": "no-database"})


class RequestGuard:
    """Middleware that refuses cross-site and too large requests and adds the headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] == "http":
            await (_refusal(Request(scope)) or self._app)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send)


def add_guard(app: FastAPI) -> None:
    """Add the request guard and the handlers that show errors as pages."""
    app.add_middleware(RequestGuard)
    for kind, status, words in ERRORS:
        app.add_exception_handler(kind, _error_handler(status, words))
    app.add_exception_handler(HTTPException, _http_error_page)
    app.add_exception_handler(RequestValidationError, _error_handler(404, "There is no such page."))


def _refusal(request: Request) -> Response | None:
    if request.method in ("GET", "HEAD"):
        return None
    size = request.headers.get("content-length", "")
    if not size.isdigit():
        return _error_page(request, 411, "The request has no Content-Length.")
    if int(size) > MAX_REQUEST_BYTES:
        return _error_page(request, 413, "This is too long to be saved.")
    origin = request.headers.get("origin")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") or (
        origin and origin != "null" and urlsplit(origin).netloc != request.headers.get("host")
    ):
        return _error_page(request, 403, "This was sent by another site.")
    return None


def _error_handler(status: int, words: str) -> Callable[[Request, Exception], Response]:
    return lambda request, error: _error_page(request, status, words or str(error))


def _http_error_page(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error_page(request, error.status_code, str(error.detail))


def _error_page(request: Request, status: int, words: str) -> Response:
    if "application/json" in request.headers.get("content-type", ""):
        return JSONResponse({"problem": words}, status)
    return render_page(request, "message.html", status, words=words)
