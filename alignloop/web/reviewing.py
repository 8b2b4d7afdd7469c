"""The reviewers' pages: which of two answers is better, blind; and for administrators what they said, and the decision."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from alignloop.errors import AlignloopError
from alignloop.labeling import assignments, reviews
from alignloop.labeling.accounts import Guest
from alignloop.labeling.assignments import Given
from alignloop.release import decision
from alignloop.web.auth import Administrator, Number, OwnForm, SignedIn, store_of
from alignloop.web.forms import letters
from alignloop.web.labeling import seconds_of, settings_of, show
from alignloop.web.rendering import page

router = APIRouter()


def reviewer(guest: SignedIn) -> Guest:
    """The reviewer whose page this is; administrators may review too."""
    if guest.role not in ("reviewer", "admin"):
        raise HTTPException(403, "This page is for reviewers.")
    return guest


Reviewer = Annotated[Guest, Depends(reviewer)]


@router.get("/review")
def overview(request: Request, guest: Reviewer) -> Response:
    """What there is to compare; for administrators what is known of the candidate."""
    return _overview(request, guest)


def _overview(request: Request, guest: Guest, problem: str = "") -> Response:
    with store_of(request).reading() as session:
        plan = reviews.newest(session)
        left = reviews.left(session, guest.id)
        tally = reviews.tally(session, plan.id) if plan else None
    people = decision.vote_summary(tally) if tally else ""
    return page(
        request,
        "review.html",
        422 if problem else 200,
        plan=plan,
        left=left,
        tally=tally,
        people=people,
        problem=problem,
    )


@router.post("/item/{lent}/vote")
def vote(request: Request, lent: Number, guest: Reviewer, form: OwnForm) -> Response:
    """Take a vote and go to the next pair; when the last is there, the win rate goes on the model."""
    store, settings = store_of(request), settings_of(request)
    with store.reading() as session:
        found = assignments.look(session, lent, guest.id)
    if found.purpose != "review":
        raise HTTPException(404, "There is no such item among yours.")
    better = form.get("better", "")
    if better not in (*letters(2), "same"):
        return show(request, guest, found, problem="Say which answer is better, or that they are the same.")
    shown = [1, 1] if better == "same" else [1 + (letter != better) for letter in letters(2)]
    ranks = [shown[found.presented.index(place)] for place in range(2)]
    assignments.give(
        store, lent, guest.id, Given(ranks, active_seconds=seconds_of(form.get("active"))), settings.version
    )
    with store.reading() as session:
        plan = reviews.newest(session)
        tally = reviews.tally(session, plan.id) if plan else None
    if plan and tally and tally.votes >= tally.wanted:
        decision.record_votes(settings.root, store, plan.candidate)
    return RedirectResponse(f"/work/review?saved={lent}", 303)


@router.post("/review/decide")
def decide(request: Request, guest: Administrator, form: OwnForm) -> Response:
    """Approve or reject the candidate: through the audited path, in the administrator's name."""
    verb = form.get("verb", "")
    with store_of(request).reading() as session:
        plan = reviews.newest(session)
    if plan is None or verb not in ("approve", "reject") or form.get("candidate") != plan.candidate:
        raise HTTPException(409, "There is another candidate by now. Load the page again.")
    if not form.get("reason", "").strip():
        return _overview(request, guest, "Say why: the reason is kept with the decision.")
    try:
        decision.decide(
            settings_of(request).root, store_of(request), verb, plan.candidate, guest.id, form["reason"]
        )
    except AlignloopError as error:
        return _overview(request, guest, str(error))
    return RedirectResponse("/review", 303)
