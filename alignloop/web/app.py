"""The labeling pages as one application: forms that work without JavaScript, and nothing from anywhere else."""

from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.trustedhost import TrustedHostMiddleware

from alignloop.labeling.database import Store
from alignloop.web import admin, auth, labeling, reviewing
from alignloop.web.auth import SignInFirst
from alignloop.web.rendering import HERE, guard
from alignloop.web.settings import Settings


def create_app(store: Store, settings: Settings) -> FastAPI:
    """The pages on an open store. FastAPI's own pages load scripts from elsewhere, so they are off."""
    app = FastAPI(title="Alignloop labeling", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.store, app.state.settings, app.state.left = store, settings, {}
    guard(app)
    host = urlsplit(settings.url).hostname or "127.0.0.1"
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=sorted({host, "127.0.0.1", "localhost"}))
    app.add_exception_handler(SignInFirst, _to_sign_in)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    for part in (auth, labeling, reviewing, admin):
        app.include_router(part.router)

    @app.get("/health")
    def health() -> PlainTextResponse:
        """Whether the store answers."""
        with store.reading() as session:
            session.connection()
        return PlainTextResponse("ok")

    return app


def _to_sign_in(request: Request, error: Exception) -> RedirectResponse:
    return RedirectResponse("/sign-in", 303)
