"""A labeler's home page, the guidelines, and the list of their own submissions."""

from fastapi import APIRouter, Request, Response

from alignloop.labeling import activity, qualification, reviews, rounds
from alignloop.web.auth import SignedIn, get_database
from alignloop.web.forms import QueryNumber, order_text
from alignloop.web.rendering import render_page
from alignloop.web.settings import get_settings

router = APIRouter()
PAGE = 50  # submissions


@router.get("/")
def home(request: Request, account: SignedIn) -> Response:
    """The work that is available to the account, and its progress."""
    database, settings = get_database(request), get_settings(request)
    if account.qualified is None:
        qualification.grade_quiz(database, account.id, settings.quiz_pass_share)
    with database.reading() as session:
        quiz = None
        if account.qualified is None:
            quiz = activity.purpose_progress(session, "quiz", account.id)
        open_rounds = [rounds.progress(session, each.id) for each in rounds.open_rounds(session)]
        left = {job: activity.count_remaining(session, job) for job in ("rank", "demonstrate")}
        left["review"] = (
            reviews.count_remaining(session, account.id) if account.role in ("reviewer", "admin") else 0
        )
        today = activity.count_finished(session, account.id)
        total = activity.count_finished(session, account.id, since=0)
    return render_page(
        request,
        "home.html",
        quiz=quiz,
        rounds=open_rounds,
        today=today,
        total=total,
        left=left,
        settings=settings,
    )


@router.get("/guidelines")
def guidelines(request: Request, account: SignedIn) -> Response:
    """The guidelines for labelers."""
    return render_page(request, "guidelines.html", settings=get_settings(request))


@router.get("/mine")
def my_work(request: Request, account: SignedIn, page: QueryNumber = 0) -> Response:
    """The account's own submissions only, some on each page."""
    with get_database(request).reading() as session:
        submissions = activity.own_submissions(session, account.id, PAGE + 1, page * PAGE)
    return render_page(
        request,
        "my_work.html",
        submissions=submissions[:PAGE],
        page=page,
        has_earlier=len(submissions) > PAGE,
        order_text=order_text,
    )
