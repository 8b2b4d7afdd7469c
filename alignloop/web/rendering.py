"""Rendering of pages: templates that escape everything, and one page for all errors."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from alignloop.labeling.assignments import AssignmentNotFound
from alignloop.labeling.database import DatabaseBusyError, DiskFullError, LabelingDatabaseError
from alignloop.labeling.reopened_rankings import ReopenRefused
from alignloop.labeling.sign_in_limits import AccessRefused, TooManySignIns
from alignloop.markdown import visible
from alignloop.web.markdown_pages import guidelines_html, markdown_html
from alignloop.web.sources import edit_for_readers, readable_message
from alignloop.web.text_blocks import blocks

HERE = Path(__file__).parent
ERRORS: tuple[tuple[type[Exception], int, str], ...] = (
    (
        DiskFullError,
        507,
        "Nothing was saved: the disk is full. Keep this page open, tell your administrator, and send again.",
    ),
    (
        DatabaseBusyError,
        503,
        "Nothing was saved: another program holds the database. Keep this page open, and send it again.",
    ),
    (TooManySignIns, 429, ""),
    (AccessRefused, 403, ""),
    (AssignmentNotFound, 404, ""),
    (ReopenRefused, 409, ""),
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
_templates.filters["markdown"] = guidelines_html
_templates.filters["response"] = partial(markdown_html, has_line_breaks=True)
_templates.filters["readable"] = readable_message
_templates.filters["edit_of"] = edit_for_readers
_templates.filters["visible"] = visible
_templates.filters["moment"] = lambda seconds: datetime.fromtimestamp(seconds, UTC).strftime(
    "%Y-%m-%d %H:%M:%S"
)


def render_page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """An HTML response from a template, which gets the signed-in account as `account`."""
    account = getattr(request.state, "account", None)
    has_labeling_pages = getattr(request.app.state, "has_labeling_pages", True)
    shared = {"account": account, "has_labeling_pages": has_labeling_pages}
    text = _templates.get_template(template).render(**shared, **values)
    return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})


def add_error_pages(app: FastAPI) -> None:
    """Add the handlers that show errors as pages."""
    for kind, status, words in ERRORS:
        app.add_exception_handler(kind, _error_handler(status, words))
    app.add_exception_handler(HTTPException, _http_error_page)
    app.add_exception_handler(RequestValidationError, _error_handler(404, "There is no such page."))


def _error_handler(status: int, words: str) -> Callable[[Request, Exception], Response]:
    return lambda request, error: error_page(request, status, words or str(error))


def _http_error_page(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_page(request, error.status_code, str(error.detail))


def error_page(request: Request, status: int, words: str) -> Response:
    """A page, or JSON for the page's script, with one message."""
    if "application/json" in request.headers.get("content-type", ""):
        return JSONResponse({"problem": words}, status)
    return render_page(request, "message.html", status, words=words)
