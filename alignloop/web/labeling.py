"""The labeler's pages: what there is to do, and the way of an item from first sight to the answer."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from alignloop.labeling import activity, assignments, qualification, reviews, rounds
from alignloop.labeling.accounts import Guest
from alignloop.labeling.assignments import Given, Work
from alignloop.labeling.database import Session
from alignloop.labeling.schema import Job, Purpose
from alignloop.web import forms
from alignloop.web.auth import Asked, Number, OwnForm, SignedIn, check_key, plain, store_of
from alignloop.web.conversation import conversation_of, turns_of
from alignloop.web.forms import Unanswered
from alignloop.web.rendering import page
from alignloop.web.settings import Settings

router = APIRouter()
DIGITS = tuple("0123456789")
LETTERS = tuple(forms.letters(9))
FRESH = 2.0  # seconds for which the number of items left for all is believed on the page of an item
JOBS: dict[str, tuple[Job, Purpose]] = {
    "rank": ("rank", "work"),
    "quiz": ("rank", "quiz"),
    "demonstrate": ("demonstrate", "work"),
    "converse": ("converse", "work"),
    "review": ("rank", "review"),
}


def settings_of(request: Request) -> Settings:
    """How labeling goes here."""
    return request.app.state.settings


@router.get("/")
def home(request: Request, guest: SignedIn) -> Response:
    """What there is to do."""
    store, settings = store_of(request), settings_of(request)
    if guest.qualified is None:
        qualification.mark_quiz(store, guest.id, settings.needed)
    with store.reading() as session:
        quiz = activity.of_purpose(session, "quiz", guest.id) if guest.qualified is None else None
        open_rounds = [rounds.progress(session, each.id) for each in rounds.open_rounds(session)]
        today, total = activity.finished(session, guest.id), activity.finished(session, guest.id, 0)
        left = {job: activity.left(session, job) for job in ("rank", "demonstrate")}
        left["review"] = reviews.left(session, guest.id) if guest.role != "labeler" else 0
    return page(
        request,
        "home.html",
        quiz=quiz,
        rounds=open_rounds,
        today=today,
        total=total,
        left=left,
        settings=settings,
    )


@router.get("/work/{name}")
def work(request: Request, name: str, guest: SignedIn, saved: Asked = 0) -> Response:
    """Go to the item in hand, or take the next."""
    if name not in JOBS:
        raise HTTPException(404, "There is no such work.")
    return _next(request, guest, name, saved)


def _next(request: Request, guest: Guest, name: str, saved: int = 0) -> Response:
    store, lending = store_of(request), settings_of(request).lending
    job, purpose = JOBS[name]
    lent = (
        assignments.converse(store, guest.id, lending)
        if job == "converse"
        else assignments.take(store, guest.id, job, purpose, lending)
    )
    if lent is None:
        return RedirectResponse("/review" if name == "review" else "/", 303)
    return RedirectResponse(f"/item/{lent}" + (f"?saved={saved}" if saved else ""), 303)


@router.get("/item/{lent}")
def item(
    request: Request, lent: Number, guest: SignedIn, answer: Asked | None = None, saved: Asked = 0
) -> Response:
    """An item, as far as it is: rated answer by answer, then ranked; or a conversation to write."""
    with store_of(request).reading() as session:
        found = assignments.look(session, lent, guest.id)
        before = activity.answered(session, guest.id, saved) if saved else None
        words = (
            forms.told(before.ranks, assignments.look(session, saved, guest.id).presented)
            if before and before.ranks
            else ""
        )
        note = f"Saved: {words}" if words else "Saved." if before else ""
        return _show(request, session, guest, found, answer, note=note)


def show(
    request: Request,
    guest: Guest,
    found: Work,
    answer: int | None = None,
    problem: str = "",
    form: Any = None,
) -> Response:
    """The page of an item, with what was wrong with the form that was sent."""
    with store_of(request).reading() as session:
        return _show(request, session, guest, found, answer, problem, form=form)


def _show(
    request: Request,
    session: Session,
    guest: Guest,
    found: Work,
    answer: int | None,
    problem: str = "",
    note: str = "",
    form: Any = None,
) -> Response:
    settings = settings_of(request)
    quiz = activity.of_purpose(session, "quiz", guest.id) if found.purpose == "quiz" else None
    left = (
        reviews.left(session, guest.id) if found.purpose == "review" else _left(request, session, found.job)
    )
    shared: dict[str, Any] = {
        "work": found,
        "today": activity.finished(session, guest.id),
        "quiz": quiz,
        "left": left,
        "settings": settings,
    }
    shared |= {"problem": problem, "note": note, "skips": forms.SKIPS}
    status = 422 if problem else 200
    if found.state in ("done", "skipped"):
        given = activity.answered(session, guest.id, found.id)
        words = forms.told(given.ranks, found.presented) if given and given.ranks else ""
        return page(request, "done.html", given=given, order=words, **shared)
    if found.job != "rank":
        messages = found.prompt["messages"] if found.job == "demonstrate" else []
        turns = form if form is not None else found.draft.get("turns") or ([""] if messages else ["", ""])
        return page(request, "write.html", status, messages=messages, turns=turns, **shared)
    names = forms.letters(len(found.responses))
    answers = [
        {"letter": name, "place": place, "text": found.responses[place]}
        for name, place in zip(names, found.presented, strict=True)
    ]
    if found.purpose == "review":
        return page(request, "compare.html", status, answers=answers, **shared)
    rated = found.draft.get("ratings", {}) if asks_ratings(settings, found) else None
    if rated is not None:
        todo = next((n for n, each in enumerate(answers) if str(each["place"]) not in rated), None)
        if answer is not None and 0 <= answer < len(answers) and (todo is None or answer <= todo):
            todo = answer
        if todo is not None:
            given = rated.get(str(answers[todo]["place"]), {})
            flags = [forms.FLAGS[name] for name in settings.ratings if name != "overall"]
            return page(
                request,
                "rate.html",
                status,
                number=todo,
                answers=answers,
                rated=rated,
                given=given,
                flags=flags,
                **shared,
            )
    ranks, about = found.draft.get("ranks", {}), found.draft.get("about", {})
    asked = (
        {name: forms.ABOUT[name] for name in settings.about}
        if found.purpose == "work" or found.purpose == "gold"
        else {}
    )
    categories = forms.CATEGORIES
    return page(
        request,
        "rank.html",
        status,
        answers=answers,
        rated=rated,
        ranks=ranks,
        about=about,
        asked=asked,
        categories=categories,
        **shared,
    )


def _left(request: Request, session: Session, job: str) -> int:
    """How many are wanted of all: counted again after some seconds, for that takes longer the more there are."""
    known: dict[str, tuple[int, float]] = request.app.state.left
    left, when = known.get(job, (0, -FRESH))
    if time.monotonic() - when > FRESH:
        left = activity.left(session, job)
        known[job] = left, time.monotonic()
    return left


def asks_ratings(settings: Settings, found: Work) -> bool:
    """Whether each answer is rated alone before all are ranked."""
    return bool(settings.ratings) and found.purpose in ("work", "gold")


@router.post("/item/{lent}/rate")
def rate(request: Request, lent: Number, guest: SignedIn, form: OwnForm) -> Response:
    """Keep one answer's ratings and go to the next answer."""
    store, settings = store_of(request), settings_of(request)
    found = _mine(request, lent, guest, "rank")
    place, number = form.get("place", ""), form.get("number", "")
    if not (place in DIGITS and number in DIGITS and int(place) < len(found.responses)):
        raise HTTPException(422, "This form is not whole. Load the page again.")
    try:
        given = forms.rating_of(form, settings.ratings)
    except Unanswered as error:
        return show(request, guest, found, int(number), str(error))
    draft, ratings = {"active": seconds_of(form.get("active"))}, {str(int(place)): given}
    assignments.save_draft(store, lent, guest.id, draft, settings.lending, ratings)
    return RedirectResponse(f"/item/{lent}", 303)


@router.post("/item/{lent}/rank")
def rank(request: Request, lent: Number, guest: SignedIn, form: OwnForm) -> Response:
    """Take a whole ranking and go to the next item."""
    store, settings = store_of(request), settings_of(request)
    found = _mine(request, lent, guest, "rank")
    try:
        ranks, about = forms.ranks_of(form, found.presented), forms.about_of(form, settings.about)
        rated = found.draft.get("ratings", {})
        if asks_ratings(settings, found) and len(rated) < len(ranks) and found.state in ("open", "expired"):
            raise Unanswered("Rate each answer first.")
    except Unanswered as error:
        kept = {letter: form.get(f"rank-{letter}", "") for letter in forms.letters(len(found.presented))}
        draft = {"ranks": {letter: int(value) for letter, value in kept.items() if value in DIGITS}}
        assignments.save_draft(store, lent, guest.id, draft, settings.lending)
        return show(request, guest, _mine(request, lent, guest), None, str(error))
    ratings = [rated[str(place)] for place in range(len(ranks))] if rated else []
    given = Given(ranks, ratings, about, active_seconds=seconds_of(form.get("active")))
    return _give(request, guest, found, given)


@router.post("/item/{lent}/write")
def write(request: Request, lent: Number, guest: SignedIn, form: OwnForm) -> Response:
    """Take what a labeler wrote, or give room for another turn."""
    store, settings = store_of(request), settings_of(request)
    found = _mine(request, lent, guest, "demonstrate", "converse")
    turns = turns_of(form)
    if found.state in ("open", "expired"):
        assignments.save_draft(store, lent, guest.id, {"turns": turns}, settings.lending)
    if form.get("more"):
        return show(request, guest, found, form=[*turns, "", ""])
    try:
        messages = conversation_of(found.prompt["messages"], turns)
    except Unanswered as error:
        return show(request, guest, found, None, str(error), form=turns)
    return _give(
        request, guest, found, Given(messages=messages, active_seconds=seconds_of(form.get("active")))
    )


@router.post("/item/{lent}/skip")
def skip(request: Request, lent: Number, guest: SignedIn, form: OwnForm) -> Response:
    """Leave an item to somebody else, with a reason."""
    found = _mine(request, lent, guest)
    reason = " · ".join(
        part for part in (form.get("reason", "").strip()[:500], form.get("words", "").strip()[:500]) if part
    )
    if not reason:
        return show(request, guest, found, None, "Say why you skip it: choose a reason, or write one.")
    return _give(request, guest, found, Given(skipped=reason, active_seconds=seconds_of(form.get("active"))))


@router.post("/item/{lent}/draft")
def draft(
    request: Request, lent: Number, guest: SignedIn, body: Annotated[dict[str, Any], Body()]
) -> Response:
    """Keep what is not finished; the script sends it while the labeler works."""
    check_key(guest, str(body.get("key", "")))
    kept: dict[str, Any] = {"active": seconds_of(body.get("active"))}
    if isinstance(ranks := body.get("ranks"), dict):
        kept["ranks"] = {
            name: rank
            for name, rank in ranks.items()
            if name in LETTERS and type(rank) is int and 1 <= rank <= 9
        }
    if isinstance(about := body.get("about"), dict):
        kept["about"] = {plain(name)[:20]: plain(str(value))[:40] for name, value in about.items()}
    if isinstance(turns := body.get("turns"), list):
        kept["turns"] = [plain(str(turn)) for turn in turns[:100]]
    saved = assignments.save_draft(store_of(request), lent, guest.id, kept, settings_of(request).lending)
    return JSONResponse({"saved": saved})


def _mine(request: Request, lent: int, guest: Guest, *jobs: str) -> Work:
    """The labeler's own item, of one of the jobs that this page is for."""
    with store_of(request).reading() as session:
        found = assignments.look(session, lent, guest.id)
    if jobs and found.job not in jobs:
        raise HTTPException(404, "There is no such page.")
    return found


def _give(request: Request, guest: Guest, found: Work, given: Given) -> Response:
    store, settings = store_of(request), settings_of(request)
    assignments.give(store, found.id, guest.id, given, settings.version)
    if found.purpose == "quiz":
        score = qualification.mark_quiz(store, guest.id, settings.needed)
        return _next(request, guest, "quiz") if score is None else RedirectResponse("/", 303)
    if found.job == "converse":
        return RedirectResponse("/", 303)
    return _next(request, guest, "review" if found.purpose == "review" else found.job, found.id)


@router.get("/guidelines")
def guidelines(request: Request, guest: SignedIn) -> Response:
    """What labelers go by."""
    return page(request, "guidelines.html", settings=settings_of(request))


@router.get("/mine")
def mine(request: Request, guest: SignedIn) -> Response:
    """The labeler's own work, and nobody else's."""
    with store_of(request).reading() as session:
        done = activity.own(session, guest.id)
    return page(request, "mine.html", done=done, told=forms.told)


def seconds_of(value: Any) -> float | None:
    """Seconds in view, as the browser counts them: believed within a day."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return round(seconds, 1) if 0 <= seconds <= 86400 else None
