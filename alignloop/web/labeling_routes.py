"""Routes of labeling: the next assignment, its page, and its ratings, submissions, skips and drafts."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from alignloop.labeling import activity, assignments, qualification, reopened_rankings
from alignloop.labeling.accounts import SignedInAccount
from alignloop.labeling.assignments import AssignedItem, SubmissionContent
from alignloop.labeling.schema import Job, Purpose
from alignloop.web import forms
from alignloop.web.auth import CheckedForm, SignedIn, check_form_key, get_database
from alignloop.web.forms import MAX_INTEGER, FormError, PathNumber, QueryNumber, storable_text
from alignloop.web.item_pages import asks_flags, asks_ratings, draft_of, render_item, saved_note, show_item
from alignloop.web.settings import get_settings

router = APIRouter()
DIGITS = tuple("0123456789")
LETTERS = tuple(forms.LETTERS)
JOBS: dict[str, tuple[Job, Purpose]] = {
    "rank": ("rank", "work"),
    "quiz": ("rank", "quiz"),
    "demonstrate": ("demonstrate", "work"),
    "converse": ("converse", "work"),
    "review": ("rank", "review"),
}
Position = Annotated[int | None, Query(alias="answer", ge=0, le=MAX_INTEGER)]


@router.get("/work/{name}")
def work(request: Request, name: str, account: SignedIn, saved: QueryNumber = 0) -> Response:
    """Go to the open assignment of a job, or assign the next item."""
    if name not in JOBS:
        raise HTTPException(404, "There is no such work.")
    return _redirect_to_next(request, account, name, saved)


def _redirect_to_next(request: Request, account: SignedInAccount, name: str, saved: int = 0) -> Response:
    database, settings = get_database(request), get_settings(request).assignments
    job, purpose = JOBS[name]
    if job == "converse":
        assignment = assignments.assign_conversation(database, account.id, settings)
    else:
        assignment = assignments.assign(database, account.id, job, purpose, settings)
    if assignment is None:
        return RedirectResponse("/review" if name == "review" else "/", 303)
    return RedirectResponse(f"/item/{assignment}" + (f"?saved={saved}" if saved else ""), 303)


@router.get("/item/{assignment}")
def item(
    request: Request,
    assignment: PathNumber,
    account: SignedIn,
    position: Position = None,
    saved: QueryNumber = 0,
) -> Response:
    """The page of an assigned item; `position` asks for the rating of one response again."""
    with get_database(request).reading() as session:
        assigned = assignments.assigned_item(session, assignment, account.id)
        note = saved_note(session, account, saved)
        return render_item(request, session, account, assigned, position=position, note=note)


@router.post("/item/{assignment}/rate")
def rate(request: Request, assignment: PathNumber, account: SignedIn, form: CheckedForm) -> Response:
    """Save the ratings of one response and go to the next response."""
    database, settings = get_database(request), get_settings(request)
    assigned = _own_item(request, assignment, account, "rank")
    place, number = form.get("place", ""), form.get("number", "")
    if not (place in DIGITS and number in DIGITS and int(place) < len(assigned.responses)):
        raise HTTPException(422, "This form is incomplete. Load the page again.")
    try:
        rating = forms.parse_rating(form, settings.ratings)
    except FormError as error:
        return show_item(request, account, assigned, int(number), str(error))
    draft = {"active": forms.parse_active_seconds(form.get("active"))}
    ratings = {str(int(place)): rating}
    assignments.save_draft(
        database, assignment, account.id, draft, settings=settings.assignments, ratings=ratings
    )
    return RedirectResponse(f"/item/{assignment}", 303)


@router.post("/item/{assignment}/rank")
def rank(request: Request, assignment: PathNumber, account: SignedIn, form: CheckedForm) -> Response:
    """Submit a complete ranking and go to the next item; an incomplete one is saved as a draft."""
    database, settings = get_database(request), get_settings(request)
    assigned = _own_item(request, assignment, account, "rank")
    flags = forms.parse_flags(form, assigned.cards, settings.flags if asks_flags(assigned) else ())
    try:
        ranks = forms.parse_ranks(form, assigned.presented, assigned.cards)
        about = forms.parse_about(form, settings.about)
        if asks_ratings(settings, assigned) and not _is_rated(assigned) and assigned.is_editable:
            raise FormError("Rate each response first.")
    except FormError as error:
        values = {letter: form.get(f"rank-{letter}", "") for letter in forms.letters(len(assigned.presented))}
        ranked = {letter: int(value) for letter, value in values.items() if value in DIGITS}
        draft = {"ranks": ranked, "flags": flags}
        assignments.save_draft(database, assignment, account.id, draft, settings.assignments)
        return show_item(request, account, _own_item(request, assignment, account), problem=str(error))
    content = SubmissionContent(
        ranks=ranks,
        ratings=_ratings(assigned, flags),
        about=about,
        active_seconds=forms.parse_active_seconds(form.get("active")),
    )
    return _submit(request, account, assigned, content)


def _is_rated(assigned: AssignedItem) -> bool:
    """Whether every distinct response has its ratings."""
    rated = assigned.draft.get("ratings", {})
    return all(str(assigned.presented[card[0]]) in rated for card in assigned.cards)


def _ratings(assigned: AssignedItem, flags: dict[str, list[str]]) -> list[dict[str, int]]:
    """The ratings and flags of each response, the same for all its copies; empty if there are none."""
    rated = assigned.draft.get("ratings", {})
    if not rated and not flags:
        return []
    ratings = [dict[str, int]() for _ in assigned.responses]
    for card in assigned.cards:
        own = rated.get(str(assigned.presented[card[0]]), {})
        own = own | dict.fromkeys(flags.get(forms.card_letter(card), ()), 1)
        for position in card:
            ratings[assigned.presented[position]] = own
    return ratings


@router.post("/item/{assignment}/reopen")
def reopen(request: Request, assignment: PathNumber, account: SignedIn, form: CheckedForm) -> Response:
    """Edit a submitted ranking again, as long as its round is open."""
    assigned = _own_item(request, assignment, account)
    with get_database(request).reading() as session:
        submission = activity.submission_of(session, account.id, assignment)
    draft = draft_of(get_settings(request), assigned, submission) if submission else {}
    reopened_rankings.reopen(get_database(request), assignment, account.id, draft)
    return RedirectResponse(f"/item/{assignment}", 303)


@router.post("/item/{assignment}/keep")
def keep(request: Request, assignment: PathNumber, account: SignedIn, form: CheckedForm) -> Response:
    """Leave a reopened ranking as it was."""
    reopened_rankings.keep(get_database(request), assignment, account.id)
    return RedirectResponse("/mine", 303)


@router.post("/item/{assignment}/write")
def write(request: Request, assignment: PathNumber, account: SignedIn, form: CheckedForm) -> Response:
    """Submit the turns that a labeler wrote, or add two more fields for turns."""
    database, settings = get_database(request), get_settings(request)
    assigned = _own_item(request, assignment, account, "demonstrate", "converse")
    turns = forms.parse_turns(form)
    if assigned.state in ("open", "expired"):
        assignments.save_draft(database, assignment, account.id, {"turns": turns}, settings.assignments)
    if form.get("more"):
        return show_item(request, account, assigned, turns=[*turns, "", ""])
    try:
        messages = forms.build_conversation(assigned.prompt["messages"], turns)
    except FormError as error:
        return show_item(request, account, assigned, problem=str(error), turns=turns)
    seconds = forms.parse_active_seconds(form.get("active"))
    return _submit(request, account, assigned, SubmissionContent(messages=messages, active_seconds=seconds))


@router.post("/item/{assignment}/skip")
def skip(request: Request, assignment: PathNumber, account: SignedIn, form: CheckedForm) -> Response:
    """Skip an item, with a reason, so that it is assigned to another labeler."""
    assigned = _own_item(request, assignment, account)
    parts = (form.get("reason", "").strip()[:500], form.get("words", "").strip()[:500])
    reason = " · ".join(part for part in parts if part)
    if not reason:
        problem = "Give a reason for the skip: choose one, or write one."
        return show_item(request, account, assigned, problem=problem)
    seconds = forms.parse_active_seconds(form.get("active"))
    return _submit(request, account, assigned, SubmissionContent(skipped=reason, active_seconds=seconds))


async def _json_body(request: Request, account: SignedIn) -> dict[str, Any]:
    """The JSON object that the page's script sends; it is read for accounts that are signed in only."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(404, "There is no such page.")
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise HTTPException(404, "There is no such page.")
    return body


@router.post("/item/{assignment}/draft")
def draft(
    request: Request,
    assignment: PathNumber,
    account: SignedIn,
    body: Annotated[dict[str, Any], Depends(_json_body)],
) -> Response:
    """Save a draft; the page's script sends it while the labeler works."""
    check_form_key(account, str(body.get("key", "")))
    parts: dict[str, Any] = {"active": forms.parse_active_seconds(body.get("active"))}
    if isinstance(ranks := body.get("ranks"), dict):
        parts["ranks"] = {
            name: rank
            for name, rank in ranks.items()
            if name in LETTERS and type(rank) is int and 1 <= rank <= 9
        }
    if isinstance(flags := body.get("flags"), dict):
        parts["flags"] = {
            letter: [flag for flag in forms.FLAGS if flag in names]
            for letter, names in flags.items()
            if letter in LETTERS and isinstance(names, list)
        }
    if isinstance(about := body.get("about"), dict):
        parts["about"] = {
            storable_text(name)[:20]: storable_text(str(value))[:40] for name, value in about.items()
        }
    if isinstance(turns := body.get("turns"), list):
        parts["turns"] = [storable_text(str(turn)) for turn in turns[:100]]
    settings = get_settings(request).assignments
    saved = assignments.save_draft(get_database(request), assignment, account.id, parts, settings)
    return JSONResponse({"saved": saved})


def _own_item(request: Request, assignment: int, account: SignedInAccount, *jobs: str) -> AssignedItem:
    """The account's own assigned item, which must be of one of `jobs` if any are given."""
    with get_database(request).reading() as session:
        assigned = assignments.assigned_item(session, assignment, account.id)
    if jobs and assigned.job not in jobs:
        raise HTTPException(404, "There is no such page.")
    return assigned


def _submit(
    request: Request, account: SignedInAccount, assigned: AssignedItem, content: SubmissionContent
) -> Response:
    database, settings = get_database(request), get_settings(request)
    sent = (assigned.id, account.id, content, settings.guidelines_version)
    if assigned.reopened is not None:
        reopened_rankings.replace(database, *sent)
        return RedirectResponse(f"/item/{assigned.id}?saved={assigned.id}", 303)
    assignments.submit(database, *sent)
    if assigned.purpose == "quiz":
        if qualification.grade_quiz(database, account.id, settings.quiz_pass_share) is None:
            return _redirect_to_next(request, account, "quiz")
        return RedirectResponse("/quiz", 303)
    if assigned.job == "converse":
        return RedirectResponse("/", 303)
    name = "review" if assigned.purpose == "review" else assigned.job
    return _redirect_to_next(request, account, name, assigned.id)
