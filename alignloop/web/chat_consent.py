"""The page of a person's consent to the use of what is said in chat: shown, given and withdrawn."""

import hmac
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from alignloop.labeling import consent
from alignloop.labeling.consent import Consent, Statement
from alignloop.web.auth import get_database
from alignloop.web.chat_people import Known
from alignloop.web.forms import FormFields, storable_text
from alignloop.web.rendering import render_page

router = APIRouter(prefix="/chat")


def get_statement(request: Request) -> Statement:
    """What people are asked to agree to."""
    return request.app.state.statement


def consent_of(request: Request, owner: str) -> Consent:
    """What a person has decided."""
    with get_database(request).reading() as session:
        return consent.consent_of(session, owner, get_statement(request).version)


@router.get("/consent")
def consent_page(request: Request, known: Known) -> Response:
    """The statement, and what the person has decided."""
    given = consent_of(request, known.owner)
    day = datetime.fromtimestamp(given.since, UTC).strftime("%Y-%m-%d %H:%M UTC") if given.since else ""
    values = {"statement": get_statement(request), "given": given, "since": day}
    return render_page(request, "chat_consent.html", person=known, **values)


@router.post("/consent")
async def decide(request: Request, known: Known, form: FormFields) -> Response:
    """Save the decision."""
    if not hmac.compare_digest(storable_text(form.get("key", "")).encode(), known.form_key.encode()):
        raise HTTPException(403, "This page is from an earlier session. Load it again.")
    if (decision := form.get("decision")) not in ("agree", "withdraw"):
        raise HTTPException(422, "decision: must be agree or withdraw.")
    await run_in_threadpool(
        consent.decide,
        get_database(request),
        known.owner,
        get_statement(request),
        version=form.get("version", ""),
        agreed=decision == "agree",
    )
    return RedirectResponse("/chat/consent", 303)
