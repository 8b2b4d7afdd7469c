"""Sign-in and sign-out by invitation link or password, sessions, and the role that each page requires."""

import hmac
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from alignloop.labeling import accounts
from alignloop.labeling.accounts import AccessRefused, SignedInAccount, TooManySignIns
from alignloop.labeling.database import LabelingDatabase
from alignloop.web.forms import FormFields, storable_text
from alignloop.web.rendering import render_page

COOKIE = "alignloop"
router = APIRouter()


def get_database(request: Request) -> LabelingDatabase:
    """The open labeling database."""
    return request.app.state.database


def optional_account(request: Request) -> SignedInAccount | None:
    """The signed-in account, if any."""
    cookie = request.cookies.get(COOKIE)
    if cookie:
        with get_database(request).reading() as session:
            request.state.account = accounts.signed_in_account(session, cookie)
    return getattr(request.state, "account", None)


class NotSignedIn(Exception):
    """The page requires a sign-in."""


async def signed_in(account: Annotated[SignedInAccount | None, Depends(optional_account)]) -> SignedInAccount:
    """The signed-in account, of any role. Raises NotSignedIn."""
    if account is None:
        raise NotSignedIn
    if account.status == "excluded":
        raise HTTPException(403, "You are excluded from this project. Ask its administrator.")
    return account


async def administrator(account: Annotated[SignedInAccount, Depends(signed_in)]) -> SignedInAccount:
    """The signed-in account, which must have the role of an administrator."""
    if account.role != "admin":
        raise HTTPException(403, "This page is for administrators.")
    return account


async def checked_form(
    form: FormFields, account: Annotated[SignedInAccount, Depends(signed_in)]
) -> dict[str, str]:
    """The fields of a form that carries the key of the account's session."""
    check_form_key(account, form.get("key", ""))
    return form


def check_form_key(account: SignedInAccount, key: str) -> None:
    """Refuse a form without the session's key: it was sent by another site or in an earlier session."""
    if not hmac.compare_digest(storable_text(key).encode(), account.form_key.encode()):
        raise HTTPException(
            403, "This form is from an earlier session. Go back, load the page again, and send it once more."
        )


SignedIn = Annotated[SignedInAccount, Depends(signed_in)]
Administrator = Annotated[SignedInAccount, Depends(administrator)]
CheckedForm = Annotated[dict[str, str], Depends(checked_form)]


@router.get("/sign-in")
def sign_in_page(request: Request) -> Response:
    """The form for name and password."""
    return render_page(request, "sign_in.html", problem="", name="")


@router.post("/sign-in")
async def sign_in(request: Request, form: FormFields) -> Response:
    """Start a session by name and password."""
    name, address = form.get("name", "").strip(), request.client.host if request.client else "unknown"
    name = name if name.startswith("labeler-") else f"labeler-{name}"
    try:
        cookie = await run_in_threadpool(
            accounts.sign_in, get_database(request), name, form.get("password", ""), address
        )
    except AccessRefused as error:
        status = 429 if isinstance(error, TooManySignIns) else 403
        return render_page(request, "sign_in.html", status, problem=str(error), name=form.get("name", ""))
    return _start_session(request, cookie)


@router.get("/invitation/{secret}")
def invitation_page(request: Request, secret: str) -> Response:
    """The page of an invitation link. Loading it starts no session, because mail programs load links too."""
    with get_database(request).reading() as session:
        person = accounts.invited_labeler(session, secret)
    return render_page(request, "invitation.html", secret=secret, name=person.id, problem="")


@router.post("/invitation/{secret}")
async def accept_invitation(request: Request, secret: str, form: FormFields) -> Response:
    """Start a session by an invitation link, and set a password if one is given."""
    try:
        cookie = await run_in_threadpool(
            accounts.accept_invitation, get_database(request), secret, form.get("password") or None
        )
    except AccessRefused as error:
        return render_page(request, "invitation.html", 403, secret=secret, name="", problem=str(error))
    return _start_session(request, cookie)


@router.post("/sign-out")
def sign_out(request: Request, form: CheckedForm) -> Response:
    """End the session."""
    accounts.sign_out(get_database(request), request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(COOKIE)
    return response


def _start_session(request: Request, cookie: str) -> Response:
    """Set the cookie of a new session, replacing whatever cookie the browser sent."""
    response = RedirectResponse("/", 303)
    is_https = request.app.state.settings.url.startswith("https:")
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=accounts.SESSION_HOURS * 3600,
        httponly=True,
        secure=is_https,
        samesite="lax",
    )
    return response
