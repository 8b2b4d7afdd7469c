"""Coming in and going out: personal links, passwords, visits; and who may see which page."""

import hmac
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from alignloop.labeling import accounts
from alignloop.labeling.accounts import Guest, Refused, TooMany
from alignloop.labeling.database import Store
from alignloop.web.rendering import page

COOKIE = "alignloop"
router = APIRouter()


def store_of(request: Request) -> Store:
    """The open store."""
    return request.app.state.store


def visitor(request: Request) -> Guest | None:
    """Who is signed in, if anybody."""
    cookie = request.cookies.get(COOKIE)
    if cookie:
        with store_of(request).reading() as session:
            request.state.guest = accounts.guest(session, cookie)
    return getattr(request.state, "guest", None)


class SignInFirst(Exception):
    """The page is for people who are signed in."""


async def signed_in(guest: Annotated[Guest | None, Depends(visitor)]) -> Guest:
    """The labeler whose page this is."""
    if guest is None:
        raise SignInFirst
    if guest.standing == "excluded":
        raise HTTPException(403, "You are not on this project any more. Ask its administrator.")
    return guest


async def administrator(guest: Annotated[Guest, Depends(signed_in)]) -> Guest:
    """The administrator whose page this is."""
    if guest.role != "admin":
        raise HTTPException(403, "This page is for administrators.")
    return guest


def plain(text: str) -> str:
    """A text as every database and page can hold it: NUL and halves of characters are replaced by signs that are seen."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()


async def fields(request: Request) -> dict[str, str]:
    """A form's text fields; the last of a name counts."""
    async with request.form(max_files=0, max_fields=400) as form:
        return {name: plain(value) for name, value in form.multi_items() if isinstance(value, str)}


Fields = Annotated[dict[str, str], Depends(fields)]


async def own_form(form: Fields, guest: Annotated[Guest, Depends(signed_in)]) -> dict[str, str]:
    """The fields of a form that one of our own pages sent, for this visit."""
    check_key(guest, form.get("key", ""))
    return form


def check_key(guest: Guest, key: str) -> None:
    """Refuse what does not carry the visit's key: it was sent by another site, or before a new sign-in."""
    if not hmac.compare_digest(plain(key).encode(), guest.form_key.encode()):
        raise HTTPException(
            403, "This form is from an earlier visit. Go back, load the page again, and send it once more."
        )


SignedIn = Annotated[Guest, Depends(signed_in)]
Administrator = Annotated[Guest, Depends(administrator)]
OwnForm = Annotated[dict[str, str], Depends(own_form)]
LARGEST = 2**31 - 1  # what a database's whole number holds
Number = Annotated[int, Path(ge=0, le=LARGEST)]
Asked = Annotated[int, Query(ge=0, le=LARGEST)]
Named = Annotated[str, Path(pattern=r"^[ -~]{1,100}$")]


@router.get("/sign-in")
def sign_in_page(request: Request) -> Response:
    """The form for name and password."""
    return page(request, "sign_in.html", problem="", name="")


@router.post("/sign-in")
async def sign_in(request: Request, form: Fields) -> Response:
    """Begin a visit by name and password."""
    name, address = form.get("name", "").strip(), request.client.host if request.client else "unknown"
    name = name if name.startswith("labeler-") else f"labeler-{name}"
    try:
        cookie = await run_in_threadpool(
            accounts.sign_in, store_of(request), name, form.get("password", ""), address
        )
    except Refused as error:
        return page(
            request,
            "sign_in.html",
            429 if isinstance(error, TooMany) else 403,
            problem=str(error),
            name=form.get("name", ""),
        )
    return _begun(request, cookie)


@router.get("/invitation/{secret}")
def invitation_page(request: Request, secret: str) -> Response:
    """What a personal link shows; looking at it begins nothing, for mail programs look too."""
    with store_of(request).reading() as session:
        person = accounts.invited(session, secret)
    return page(request, "invitation.html", secret=secret, name=person.id, problem="")


@router.post("/invitation/{secret}")
async def accept(request: Request, secret: str, form: Fields) -> Response:
    """Begin a visit by a personal link, and set a password if one is given."""
    try:
        cookie = await run_in_threadpool(
            accounts.accept, store_of(request), secret, form.get("password") or None
        )
    except Refused as error:
        return page(request, "invitation.html", 403, secret=secret, name="", problem=str(error))
    return _begun(request, cookie)


@router.post("/sign-out")
def sign_out(request: Request, form: OwnForm) -> Response:
    """End the visit."""
    accounts.sign_out(store_of(request), request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(COOKIE)
    return response


def _begun(request: Request, cookie: str) -> Response:
    """A new visit has a new cookie, whatever the browser brought along."""
    response = RedirectResponse("/", 303)
    safe = request.app.state.settings.url.startswith("https:")
    response.set_cookie(
        COOKIE, cookie, max_age=accounts.VISIT_HOURS * 3600, httponly=True, secure=safe, samesite="lax"
    )
    return response
