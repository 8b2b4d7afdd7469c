"""Sign-in and sign-out by invitation link or password, sessions, and the role that each page requires."""

import hmac
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from alignloop.labeling import accounts
from alignloop.labeling.accounts import SignedInAccount
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.sign_in_limits import AccessRefused, TooManySignIns
from alignloop.web.forms import FormFields, storable_text
from alignloop.web.rendering import render_page
from alignloop.web.sign_in_threads import SignInThreads

COOKIE = "alignloop"
KNOWN_BROWSER = "alignloop-known"  # a cookie that outlives sessions: see labeling/sign_in_limits.py
KNOWN_DAYS = 180
# Passwords are hashed on threads of their own: the pages do not wait for strangers. Who holds a link, or
# has signed in before, does not wait for strangers either.
STRANGERS, KNOWN = SignInThreads(2, 40), SignInThreads(2, 200)
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


async def reviewer(account: Annotated[SignedInAccount, Depends(signed_in)]) -> SignedInAccount:
    """The signed-in account, which must be of a reviewer or an administrator."""
    if account.role not in ("reviewer", "admin"):
        raise HTTPException(403, "This page is for reviewers.")
    return account


async def checked_form(
    account: Annotated[SignedInAccount, Depends(signed_in)], form: FormFields
) -> dict[str, str]:
    """The fields of a form that carries the key of the account's session; a stranger's form is not read."""
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
Reviewer = Annotated[SignedInAccount, Depends(reviewer)]
CheckedForm = Annotated[dict[str, str], Depends(checked_form)]


@router.get("/sign-in")
def sign_in_page(request: Request) -> Response:
    """The form for name and password."""
    return render_page(request, "sign_in.html", problem="", name="")


@router.post("/sign-in")
async def sign_in(request: Request, form: FormFields) -> Response:
    """Start a session by name and password."""
    name, password = accounts.account_name(form.get("name", "")), form.get("password", "")
    token, threads = request.cookies.get(KNOWN_BROWSER, ""), STRANGERS
    try:
        if token and await run_in_threadpool(accounts.is_known_browser, get_database(request), name, token):
            threads = KNOWN
        database, address = get_database(request), _address(request)
        cookie = await threads.run(
            partial(accounts.sign_in, database, name, password, address, known_browser=token)
        )
    except AccessRefused as error:
        status = 429 if isinstance(error, TooManySignIns) else 403
        return render_page(request, "sign_in.html", status, problem=str(error), name=form.get("name", ""))
    return await _start_session(request, cookie)


@router.get("/invitation/{secret}")
def invitation_page(request: Request, secret: str) -> Response:
    """The page of an invitation link. Loading it starts no session, because mail programs load links too."""
    with get_database(request).reading() as session:
        person = accounts.invited_labeler(session, secret)
    return render_page(request, "invitation.html", secret=secret, name=person.id, problem="")


@router.post("/invitation/{secret}")
async def accept_invitation(request: Request, secret: str, form: FormFields) -> Response:
    """Start a session by an invitation link, and set a password if one is given."""
    password, address = form.get("password") or None, _address(request)
    try:
        threads = KNOWN if await run_in_threadpool(_is_link, request, secret) else STRANGERS
        cookie = await threads.run(
            partial(accounts.accept_invitation, get_database(request), secret, password, address)
        )
    except AccessRefused as error:
        status = 429 if isinstance(error, TooManySignIns) else 403
        return render_page(request, "invitation.html", status, secret=secret, name="", problem=str(error))
    return await _start_session(request, cookie)


@router.post("/sign-out")
def sign_out(request: Request, form: CheckedForm) -> Response:
    """End the session."""
    accounts.sign_out(get_database(request), request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(COOKIE)
    return response


def _address(request: Request) -> str:
    return request.client.host[:45] if request.client else "unknown"


def _is_link(request: Request, secret: str) -> bool:
    with get_database(request).reading() as session:
        return accounts.is_invitation(session, secret)


async def _start_session(request: Request, cookie: str) -> Response:
    """Set the cookie of a new session, replacing whatever cookie the browser sent."""
    response = RedirectResponse("/", 303)
    known = await run_in_threadpool(accounts.known_browser_token, get_database(request), cookie)
    lasting = {COOKIE: (cookie, accounts.SESSION_HOURS * 3600), KNOWN_BROWSER: (known, KNOWN_DAYS * 86400)}
    is_https = request.app.state.settings.url.startswith("https:")
    for name, (value, seconds) in lasting.items():
        if value is not None:
            response.set_cookie(name, value, max_age=seconds, httponly=True, secure=is_https, samesite="lax")
    return response
