"""The reviewers' pages: blind comparison of two responses; for administrators the votes and the decision."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from alignloop.core.metrics import format_win_rate
from alignloop.errors import AlignloopError
from alignloop.evaluation.side_by_side import JUDGES
from alignloop.labeling import assignments, reviews
from alignloop.labeling.accounts import SignedInAccount
from alignloop.labeling.assignments import SubmissionContent
from alignloop.labeling.reviews import Tally, VotedPair
from alignloop.labeling.schema import Review
from alignloop.release import decision, decision_log
from alignloop.release.decision_log import Entry
from alignloop.release.gates import gate_rows, verdict_sentences
from alignloop.release.preference import preference_sentence
from alignloop.web.auth import Administrator, CheckedForm, Reviewer, get_database
from alignloop.web.forms import PathNumber, letters, parse_active_seconds
from alignloop.web.item_pages import show_item
from alignloop.web.rendering import render_page
from alignloop.web.review_examples import choose_examples
from alignloop.web.settings import get_settings

ENTRIES = 10  # decisions on the page
router = APIRouter()


@router.get("/review")
def overview(request: Request, account: Reviewer) -> Response:
    """The pairs to compare; for administrators also the votes, the gates and the decision."""
    return _overview(request, account)


def _overview(request: Request, account: SignedInAccount, problem: str = "", reason: str = "") -> Response:
    root = get_settings(request).root
    entries: list[Entry] = []
    try:
        entries = decision_log.read_entries(root)[::-1]
    except AlignloopError as error:  # the log was changed by hand: nothing can be decided until it is mended
        problem = f"{problem} {error}".strip()
    with get_database(request).reading() as session:
        plan = reviews.newest(session)
        left = reviews.count_remaining(session, account.id)
        values: dict[str, Any] = {"plan": plan, "left": left, "problem": problem, "entry": None}
        if plan:
            values["entry"] = next((entry for entry in entries if entry.decides(plan.id)), None)
        if plan and account.role == "admin":
            tally, voted = reviews.tally(session, plan.id), reviews.voted_pairs(session, plan.id)
            values |= _evidence(root, plan, tally, voted)
            values |= {"entries": entries[:ENTRIES], "reason": reason, "champion": _champion(entries)}
    return render_page(request, "review.html", 422 if problem else 200, **values)


def _evidence(root: Path, plan: Review, tally: Tally, voted: list[VotedPair]) -> dict[str, Any]:
    """What an administrator reads before deciding: votes, gates, and responses of both models."""
    name = "SFT" if plan.other == "SFT" else "champion"
    values: dict[str, Any] = {
        "tally": tally,
        "win_rate": decision.vote_summary(tally),
        "preference": preference_sentence(tally, name if name == "SFT" else f"the {name}"),
        "other": name[0].upper() + name[1:],
        "examples": choose_examples(root, plan.report, voted),
        "wins": [],
        "gates": [],
        "sentences": [],
    }
    if verdict := plan.report.get("verdict"):  # a review from before there were verdicts has none
        values["wins"] = [
            (JUDGES[judge], format_win_rate(win)) for judge, win in verdict["wins"].items() if win
        ]
        values |= {"gates": gate_rows(verdict), "sentences": verdict_sentences(verdict)}
    return values


def _champion(entries: list[Entry]) -> str:
    """The champion after the newest decision; "" if there is none."""
    return (entries[0].champion or "").partition(" ")[0] if entries else ""


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
    if plan is None or form.get("candidate") != plan.candidate:
        raise HTTPException(409, "There is another candidate now. Load the page again.")
    reason = form.get("reason", "")
    if verb not in ("approve", "reject"):
        return _overview(request, account, "Choose to approve or to reject.", reason)
    if not reason.strip():
        return _overview(request, account, "Give a reason: it is recorded with the decision.")
    try:
        root, database = get_settings(request).root, get_database(request)
        decision.decide(root, database, verb, plan.candidate, who=account.id, reason=reason)
    except AlignloopError as error:
        return _overview(request, account, str(error), reason)
    return RedirectResponse("/review", 303)
