"""The moderators' pages: what rules leave to a person, answered, edited or refused.

A moderator reads the dialogue up to the prompt in question, and no other conversation.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from alignloop.labeling import escalations
from alignloop.labeling.accounts import SignedInAccount
from alignloop.labeling.escalations import EscalationClosed, EscalationNotFound
from alignloop.web.auth import CheckedForm, SignedIn, get_database
from alignloop.web.forms import PathNumber
from alignloop.web.rendering import render_page

ERRORS: dict[type[Exception], int] = {EscalationNotFound: 404, EscalationClosed: 409}
LONGEST = 20_000  # characters of an answer
REFUSAL = "I cannot help with this."
router = APIRouter(prefix="/moderation")


def moderator(account: SignedIn) -> SignedInAccount:
    """The signed-in account, which must be of a moderator."""
    if account.role != "moderator":
        raise HTTPException(403, "This page is for moderators.")
    if account.status != "active":
        raise HTTPException(403, "Your account is paused. Ask the administrator.")
    return account


Moderator = Annotated[SignedInAccount, Depends(moderator)]


@router.get("")
def overview(request: Request, account: Moderator) -> Response:
    """The escalations that wait, the oldest first."""
    with get_database(request).reading() as session:
        waiting, count = escalations.listed(session), escalations.count_open(session)
    return render_page(request, "moderation.html", waiting=waiting, count=count)


@router.get("/{id}")
def one(request: Request, id: PathNumber, account: Moderator) -> Response:
    """An escalation with its dialogue."""
    return _page(request, id)


@router.post("/{id}")
def close(request: Request, id: PathNumber, account: Moderator, form: CheckedForm) -> Response:
    """Send an answer, the draft or another one, or refuse."""
    is_refused = form.get("act") == "refuse"
    text = form.get("refusal" if is_refused else "answer", "").strip()
    if not text or len(text) > LONGEST:
        return _page(request, id, f"Write what the user reads: 1 to {LONGEST:,} characters.")
    escalations.close(get_database(request), account.id, id, text, is_refused=is_refused)
    return RedirectResponse("/moderation", 303)


def _page(request: Request, id: int, problem: str = "") -> Response:
    with get_database(request).reading() as session:
        found = escalations.opened(session, id)
    return render_page(
        request,
        "escalation.html",
        422 if problem else 200,
        escalation=found.escalation,
        dialogue=found.dialogue,
        problem=problem,
        refusal=REFUSAL,
        longest=LONGEST,
    )
