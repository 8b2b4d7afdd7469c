"""How a page is made: templates that escape everything, headers that let nothing in from elsewhere, and one page for every failure."""

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

from alignloop.labeling.accounts import Refused, TooMany
from alignloop.labeling.assignments import NotYours
from alignloop.labeling.database import StoreError, StoreFullError
from alignloop.web.text_blocks import blocks

HERE = Path(__file__).parent
LARGEST = 1 << 20  # bytes of a request
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # an invitation's address is a key
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
FAILURES: tuple[tuple[type[Exception], int, str], ...] = (
    (
        StoreFullError,
        507,
        "Nothing was saved: the disk is full. Leave this page open, tell your administrator, and send again.",
    ),
    (TooMany, 429, ""),
    (Refused, 403, ""),
    (NotYours, 404, ""),
    (StoreError, 400, ""),
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


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A template as a response; `guest` is whoever is signed in."""
    guest = getattr(request.state, "guest", None)
    text = _templates.get_template(template).render(guest=guest, **values)
    return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})


class Guard:
    """Refuses what other sites send and what is too large, and adds the headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] == "http":
            await (_refused(Request(scope)) or self._app)(scope, receive, send_headed)
        else:
            await self._app(scope, receive, send)


def _tell_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _tell(request, error.status_code, str(error.detail))


def guard(app: FastAPI) -> None:
    """Let nothing past the guard, and tell failures in words."""
    app.add_middleware(Guard)
    for kind, status, words in FAILURES:
        app.add_exception_handler(kind, _teller(status, words))
    app.add_exception_handler(HTTPException, _tell_http)
    app.add_exception_handler(RequestValidationError, _teller(404, "There is no such page."))


def _refused(request: Request) -> Response | None:
    if request.method in ("GET", "HEAD"):
        return None
    size = request.headers.get("content-length", "")
    if not size.isdigit():
        return _tell(request, 411, "The request does not say how long it is.")
    if int(size) > LARGEST:
        return _tell(request, 413, "This is too long to be kept.")
    origin = request.headers.get("origin")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") or (
        origin and origin != "null" and urlsplit(origin).netloc != request.headers.get("host")
    ):
        return _tell(request, 403, "This was sent by another site.")
    return None


def _teller(status: int, words: str) -> Callable[[Request, Exception], Response]:
    return lambda request, error: _tell(request, status, words or str(error))


def _tell(request: Request, status: int, words: str) -> Response:
    if "application/json" in request.headers.get("content-type", ""):
        return JSONResponse({"problem": words}, status)
    return page(request, "message.html", status, words=words)
