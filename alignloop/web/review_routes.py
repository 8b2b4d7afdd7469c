"""The reviewers' pages: blind comparison of two responses; for administrators the votes and the decision."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from alignloop.errors import AlignloopError
from alignloop.labeling import assignments, reviews
from alignloop.labeling.accounts import SignedInAccount
from alignloop.labeling.assignments import SubmissionContent
from alignloop.release import decision
from alignloop.web.auth import Administrator, CheckedForm, SignedIn, get_database
from alignloop.web.forms import PathNumber, letters, parse_active_seconds
from alignloop.web.item_pages import show_item
from alignloop.web.rendering import render_page
from alignloop.web.settings import get_settings

router = APIRouter()


def reviewer(account: SignedIn) -> SignedInAccount:
    """The signed-in account, which must be of a reviewer or an administrator."""
    if account.role not in ("reviewer", "admin"):
        raise HTTPException(403, "This page is for reviewers.")
    return account


Reviewer = Annotated[SignedInAccount, Depends(reviewer)]


@router.get("/review")
def overview(request: Request, account: Reviewer) -> Response:
    """The pairs to compare; for administrators also the votes, the gates and the decision."""
    return _overview(request, account)


def _overview(request: Request, account: SignedInAccount, problem: str = "") -> Response:
    with get_database(request).reading() as session:
        plan = reviews.newest(session)
        left = reviews.count_remaining(session, account.id)
        tally = reviews.tally(session, plan.id) if plan else None
    win_rate = decision.vote_summary(tally) if tally else ""
    return render_page(
        request,
        "review.html",
        422 if problem else 200,
        plan=plan,
        left=left,
        tally=tally,
        win_rate=win_rate,
        problem=problem,
    )


@router.post("/item/{assignment}/vote")
def vote(request: Request, assignment: PathNumber, account: Reviewer, form: CheckedForm) -> Response:
    """Submit a vote and go to the next pair; the last vote writes the win rate on the model version."""
    database, settings = get_database(request), get_settings(request)
    with database.reading() as session:
        item = assignments.assigned_item(session, assignment, account.id)
    if item.purpose != "review":
        raise HTTPException(404, "You have no such assignment.")
    better = form.get("better", "")
    if better not in (*letters(2), "same"):
        problem = "Choose the better response, or that they are the same."
        return show_item(request, account, item, problem=problem)
    shown = [1, 1] if better == "same" else [1 + (letter != better) for letter in letters(2)]
    ranks = [shown[item.presented.index(place)] for place in range(2)]
    content = SubmissionContent(ranks, active_seconds=parse_active_seconds(form.get("active")))
    assignments.submit(database, assignment, account.id, content, settings.guidelines_version)
    with database.reading() as session:
        plan = reviews.newest(session)
        tally = reviews.tally(session, plan.id) if plan else None
    if plan and tally and tally.votes >= tally.wanted:
        decision.record_votes(settings.root, database, plan.candidate)
    return RedirectResponse(f"/work/review?saved={assignment}", 303)


@router.post("/review/decide")
def decide(request: Request, account: Administrator, form: CheckedForm) -> Response:
    """Approve or reject the candidate in the administrator's name; the decision goes into the audited log."""
    verb = form.get("verb", "")
    with get_database(request).reading() as session:
        plan = reviews.newest(session)
    if plan is None or verb not in ("approve", "reject") or form.get("candidate") != plan.candidate:
        raise HTTPException(409, "There is another candidate now. Load the page again.")
    if not form.get("reason", "").strip():
        return _overview(request, account, "Give a reason: it is recorded with the decision.")
    try:
        root, database = get_settings(request).root, get_database(request)
        decision.decide(root, database, verb, plan.candidate, who=account.id, reason=form["reason"])
    except AlignloopError as error:
        return _overview(request, account, str(error))
    return RedirectResponse("/review", 303)
