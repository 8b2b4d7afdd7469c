"""The labeling pages as a FastAPI application.

Its forms work without JavaScript, and its pages load nothing from other sites.
"""

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from alignloop.labeling.database import LabelingDatabase
from alignloop.web import admin, auth, home, labeling_routes, quiz_page, review_routes
from alignloop.web.auth import NotSignedIn
from alignloop.web.rendering import HERE, add_error_pages
from alignloop.web.request_guard import RequestGuard
from alignloop.web.settings import Settings


def create_app(database: LabelingDatabase, settings: Settings) -> FastAPI:
    """The application on an open database.

    FastAPI's own documentation pages load scripts from other sites, so they are off.
    """
    app = FastAPI(title="Alignloop labeling", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.database = database
    app.state.settings = settings
    app.state.remaining = {}  # cache of item_pages
    add_error_pages(app)
    app.add_middleware(RequestGuard, url=settings.url)
    app.add_exception_handler(NotSignedIn, _to_sign_in)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    for part in (auth, home, quiz_page, labeling_routes, review_routes, admin):
        app.include_router(part.router)

    @app.get("/health")
    def health() -> PlainTextResponse:
        """Whether the database can be reached."""
        with database.reading() as session:
            session.connection()
        return PlainTextResponse("ok")

    return app


def _to_sign_in(request: Request, error: Exception) -> RedirectResponse:
    return RedirectResponse("/sign-in", 303)
