"""Who chats: an account, or a guest where `serving.guests` is open."""

import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from alignloop.labeling import guests
from alignloop.labeling.accounts import SignedInAccount
from alignloop.web.auth import NotSignedIn, get_database, optional_account
from alignloop.web.forms import storable_text
from alignloop.web.rendering import render_page

COOKIE = "alignloop-guest"
router = APIRouter()


@dataclass(frozen=True)
class Person:
    """Whose conversations are shown, and the key that requests of their pages carry."""

    owner: str
    form_key: str
    is_guest: bool


def person(request: Request, account: Annotated[SignedInAccount | None, Depends(optional_account)]) -> Person:
    """The account that is signed in, or the guest. Raises NotSignedIn."""
    if account is not None:
        if account.status == "excluded":
            raise HTTPException(403, "You are excluded from this project. Ask its administrator.")
        return Person(account.id, account.form_key, is_guest=False)
    cookie = request.cookies.get(COOKIE)
    if cookie and is_open_to_guests(request):
        with get_database(request).reading() as session:
            if guest := guests.guest_of(session, cookie):
                return Person(guest.owner, guest.form_key, is_guest=True)
    raise NotSignedIn


def keyed_person(request: Request, known: Annotated[Person, Depends(person)]) -> Person:
    """The person, whose page sent its key: another site cannot know it."""
    key = storable_text(request.headers.get("x-form-key", ""))
    if not hmac.compare_digest(key.encode(), known.form_key.encode()):
        raise HTTPException(403, "This page is from an earlier session. Load it again.")
    return known


Known = Annotated[Person, Depends(person)]
Keyed = Annotated[Person, Depends(keyed_person)]


def is_open_to_guests(request: Request) -> bool:
    """Whether anybody who reaches the page may chat."""
    return request.app.state.serving.guests == "open"


def to_sign_in(request: Request, error: Exception) -> Response:
    """Where somebody without a session goes."""
    if "application/json" in request.headers.get("accept", ""):
        return Response('{"problem":"Your session has ended. Load the page again."}', 401)
    if is_open_to_guests(request):
        return render_page(request, "guest.html")
    return RedirectResponse("/sign-in", 303)


@router.post("/chat/guest")
def begin(request: Request) -> Response:
    """Begin a guest's session."""
    if not is_open_to_guests(request):
        raise HTTPException(403, "Guests need an invitation.")
    response = RedirectResponse("/chat", 303)
    response.set_cookie(
        COOKIE,
        guests.start_session(get_database(request)),
        max_age=guests.GUEST_DAYS * 86400,
        httponly=True,
        secure=request.app.state.serving.url.startswith("https:"),
        samesite="lax",
    )
    return response
