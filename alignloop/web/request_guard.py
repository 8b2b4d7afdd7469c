"""Middleware that refuses requests of other sites, under other names, too large or too slow ones."""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alignloop.web.rendering import error_page

MAX_REQUEST_BYTES = 1 << 20
BODY_SECONDS = 60.0  # for a whole body
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # the address of an invitation link is a secret; our own forms carry their Origin with this policy
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
TOO_LONG = "This is too long to be saved."


class RequestGuard:
    """The middleware; `url` is the address by which people reach the pages, `setting` its key in params.yaml.

    `refuse` makes the response of a refusal from the request, a status and a message.
    """

    def __init__(
        self,
        app: ASGIApp,
        url: str,
        setting: str = "people.url",
        refuse: Callable[[Request, int, str], Response] = error_page,
    ) -> None:
        self._app = app
        self._url = url
        self._setting = setting
        self._refuse = refuse
        self._site = urlsplit(url).netloc
        self._names = {urlsplit(url).hostname, "127.0.0.1", "localhost", "::1"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._refusal(Request(scope)) or self._app
        await answer(scope, _limited(receive), send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if _hostname(request) not in self._names:
            words = (
                f"These pages are at {self._url}. If this is their right address, set {self._setting} to it."
            )
            return self._refuse(request, 400, words)
        if request.method in ("GET", "HEAD"):
            return None
        if "transfer-encoding" in request.headers:
            return self._refuse(
                request, 411, "The request must have a Content-Length, not a Transfer-Encoding."
            )
        size = request.headers.get("content-length", "")
        if not (size.isascii() and size.isdigit()):
            return self._refuse(request, 411, "The request has no Content-Length.")
        if len(size) > len(str(MAX_REQUEST_BYTES)) or int(size) > MAX_REQUEST_BYTES:
            return self._refuse(request, 413, TOO_LONG)
        if not self._is_from_own_page(request):
            words = f"This was sent by another site. If it was not: open these pages at {self._url}, "
            words += f"the {self._setting} of the project, "
            words += "and let a proxy in front of them pass Host and Origin on."
            return self._refuse(request, 403, words)
        return None

    def _is_from_own_page(self, request: Request) -> bool:
        """Whether the browser says so: a browser that says nothing still needs the key of the form."""
        origin, relation = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if relation not in (None, "same-origin", "none"):
            return False
        if origin == "null":  # a page that hides its address, which may be any site's
            return relation == "same-origin"
        return origin is None or urlsplit(origin).netloc in (request.headers.get("host"), self._site)


def _hostname(request: Request) -> str | None:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None


def _limited(receive: Receive) -> Receive:
    """Count the bytes of a body as they come, whatever its headers promise, and the time that it takes."""
    taken, is_whole = 0, False
    deadline: float | None = None

    async def receive_within_limits() -> Message:
        nonlocal taken, is_whole, deadline
        if is_whole:  # what follows is the end of the connection, which may take as long as it likes
            return await receive()
        now = asyncio.get_running_loop().time()
        deadline = deadline or now + BODY_SECONDS
        try:
            message = await asyncio.wait_for(receive(), max(0.0, deadline - now))
        except TimeoutError:
            raise HTTPException(408, "This came too slowly to be saved. Send it again.") from None
        taken += len(message.get("body", b""))
        is_whole = not message.get("more_body")
        if taken > MAX_REQUEST_BYTES:
            raise HTTPException(413, TOO_LONG)
        return message

    return receive_within_limits
