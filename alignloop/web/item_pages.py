"""Pages of an assigned item: rate each response, rank, compare, write, or see what was submitted."""

import time
from typing import Any

from fastapi import Request, Response

from alignloop.labeling import activity, assignments, reopened_rankings, reviews
from alignloop.labeling.accounts import SignedInAccount
from alignloop.labeling.assignments import AssignedItem
from alignloop.labeling.database import Session
from alignloop.labeling.schema import Submission
from alignloop.web import forms
from alignloop.web.auth import get_database
from alignloop.web.rendering import render_page
from alignloop.web.settings import Settings, get_settings
from alignloop.web.sources import Readable, readable_item

CACHE_SECONDS = 2.0  # how long the count of items left over all is reused


def show_item(
    request: Request,
    account: SignedInAccount,
    item: AssignedItem,
    position: int | None = None,
    problem: str = "",
    turns: list[str] | None = None,
) -> Response:
    """The page of an item with the problem of the form that was sent.

    `position` is the response to rate, `turns` are those of a conversation being written.
    """
    with get_database(request).reading() as session:
        return render_item(request, session, account, item, position=position, problem=problem, turns=turns)


def saved_note(session: Session, account: SignedInAccount, assignment: int) -> str:
    """The message that the submission of an earlier assignment is saved; empty if there is none."""
    before = activity.submission_of(session, account.id, assignment) if assignment else None
    if before is None:
        return ""
    if not before.ranks:
        return "Saved."
    presented = assignments.assigned_item(session, assignment, account.id).presented
    return f"Saved: {forms.order_text(before.ranks, presented)}"


def render_item(
    request: Request,
    session: Session,
    account: SignedInAccount,
    item: AssignedItem,
    *,
    position: int | None,
    problem: str = "",
    note: str = "",
    turns: list[str] | None = None,
) -> Response:
    """The page of an item in its present state."""
    settings = get_settings(request)
    shared: dict[str, Any] = {
        "item": item,
        "today": activity.count_finished(session, account.id),
        "quiz": activity.purpose_progress(session, "quiz", account.id) if item.purpose == "quiz" else None,
        "left": _count_remaining(request, session, account, item),
        "settings": settings,
        "problem": problem,
        "note": note,
        "skips": forms.SKIPS,
    }
    status = 422 if problem else 200
    if not item.is_editable:
        submission = activity.submission_of(session, account.id, item.id)
        refusal = reopened_rankings.refusal(session, item.id, account.id)
        values = _submitted_values(item, submission)
        return render_page(request, "submitted.html", status, refusal=refusal, **values, **shared)
    if item.job != "rank":
        messages = item.prompt["messages"] if item.job == "demonstrate" else []
        if turns is None:
            turns = item.draft.get("turns") or ([""] if messages else ["", ""])
        return render_page(request, "write.html", status, messages=messages, turns=turns, **shared)
    responses = _cards(item)
    if item.purpose == "review":
        return render_page(request, "compare.html", status, responses=responses, **shared)
    ratings = item.draft.get("ratings", {}) if asks_ratings(settings, item) else None
    if ratings is not None:
        unrated = _position_to_rate(responses, ratings, position)
        if unrated is not None:
            return render_page(
                request,
                "rate.html",
                status,
                number=unrated,
                responses=responses,
                rated=ratings,
                rating=ratings.get(str(responses[unrated]["place"]), {}),
                flags=[forms.FLAGS[name] for name in settings.ratings if name != "overall"],
                **shared,
            )
    questions = {name: forms.ABOUT[name] for name in settings.about}
    return render_page(
        request,
        "rank.html",
        status,
        responses=responses,
        rated=ratings,
        ranks=item.draft.get("ranks", {}),
        about=item.draft.get("about", {}),
        questions=questions if asks_flags(item) else {},
        categories=forms.CATEGORIES,
        flags=[forms.FLAGS[name] for name in settings.flags] if asks_flags(item) else [],
        flagged=item.draft.get("flags", {}),
        **shared,
    )


def _cards(item: AssignedItem) -> list[dict[str, Any]]:
    """The distinct responses in the order shown; `place` is the index of the first copy."""
    return [
        {
            "letter": forms.card_letter(card),
            "name": forms.card_name(card),
            "place": item.presented[card[0]],
            "said": _readable(item, item.presented[card[0]]),
        }
        for card in item.cards
    ]


def _readable(item: AssignedItem, place: int) -> Readable:
    """A response with its sources."""
    return readable_item(item.responses[place], item.turns[place] if item.turns else None)


def _submitted_values(item: AssignedItem, submission: Submission | None) -> dict[str, Any]:
    """What the page of a submission shows: its order, and the responses, best first, with their ratings."""
    ranks = submission.ranks if submission else None
    if submission is None or not ranks:
        return {"submission": submission, "order": "", "ranked": []}
    ranked = [
        {
            **card,
            "rank": ranks[card["place"]],
            "rating": submission.ratings[card["place"]] if submission.ratings else {},
        }
        for card in _cards(item)
    ]
    for card in ranked:
        card["flags"] = [forms.FLAGS[name].words for name in forms.FLAGS if card["rating"].get(name)]
    ranked.sort(key=lambda card: card["rank"])
    return {
        "submission": submission,
        "order": forms.order_text(ranks, item.presented),
        "ranked": ranked,
    }


def draft_of(settings: Settings, item: AssignedItem, submission: Submission) -> dict[str, Any]:
    """The content of a submission as a draft, to be edited again."""
    ranks, ratings = submission.ranks or [], submission.ratings
    draft: dict[str, Any] = {"ranks": {}, "ratings": {}, "flags": {}, "about": submission.about}
    for card in _cards(item):
        letter, place = card["letter"], card["place"]
        draft["ranks"][letter] = ranks[place]
        rating = ratings[place] if ratings else {}
        asked = {name: value for name, value in rating.items() if name in settings.ratings}
        if asked.keys() == set(settings.ratings):
            draft["ratings"][str(place)] = asked
        draft["flags"][letter] = [name for name in settings.flags if rating.get(name)]
    return {**draft, "active": submission.active_seconds}


def asks_ratings(settings: Settings, item: AssignedItem) -> bool:
    """Whether each response is rated alone before all are ranked."""
    return bool(settings.ratings) and item.purpose in ("work", "gold")


def asks_flags(item: AssignedItem) -> bool:
    """Whether the ranking page offers flags and questions on the prompt: not in the quiz."""
    return item.purpose in ("work", "gold")


def _position_to_rate(
    responses: list[dict[str, Any]], ratings: dict[str, Any], position: int | None
) -> int | None:
    """Position of the response to rate: the first unrated one, or an earlier one that was asked for."""
    unrated = next((n for n, each in enumerate(responses) if str(each["place"]) not in ratings), None)
    if position is not None and 0 <= position < len(responses) and (unrated is None or position <= unrated):
        return position
    return unrated


def _count_remaining(request: Request, session: Session, account: SignedInAccount, item: AssignedItem) -> int:
    """Number of submissions left for the item's job; cached, because counting takes long in large rounds."""
    if item.purpose == "review":
        return reviews.count_remaining(session, account.id)
    cache: dict[str, tuple[int, float]] = request.app.state.remaining
    count, counted = cache.get(item.job, (0, -CACHE_SECONDS))
    if time.monotonic() - counted > CACHE_SECONDS:
        count = activity.count_remaining(session, item.job)
        cache[item.job] = count, time.monotonic()
    return count
