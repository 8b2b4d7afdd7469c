"""The result of the qualification quiz: each item as it was ranked, beside what is right and why."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from alignloop.labeling import qualification
from alignloop.labeling.equal_responses import copies
from alignloop.labeling.qualification import QuizResult
from alignloop.web import forms
from alignloop.web.auth import SignedIn, get_database
from alignloop.web.rendering import render_page
from alignloop.web.settings import get_settings

router = APIRouter()


@router.get("/quiz")
def quiz(request: Request, account: SignedIn) -> Response:
    """The account's quiz, once every item of it is ranked."""
    if account.quiz_agreement is None:
        return RedirectResponse("/", 303)
    with get_database(request).reading() as session:
        results = qualification.quiz_results(session, account.id)
    items = [_shown(result) for result in results]
    return render_page(request, "quiz.html", items=items, share=get_settings(request).quiz_pass_share)


def _shown(result: QuizResult) -> dict[str, object]:
    """What the page shows of an item: both orders, the pairs that were off, and the cards, best first."""
    cards = copies([result.responses[place] for place in result.presented])
    names = {result.presented[card[0]]: forms.card_name(card) for card in cards}
    shown = [
        {
            "name": name,
            "known": result.known[place],
            "own": result.ranks[place] if result.ranks else None,
            "text": result.responses[place],
        }
        for place, name in names.items()
    ]
    return {
        "messages": result.messages,
        "own_order": forms.order_text(result.ranks, result.presented) if result.ranks else "",
        "known_order": forms.order_text(result.known, result.presented),
        "off": [
            f"{_name(names, result, better)} is better than {_name(names, result, worse)}: "
            f"{_mistake(result.ranks, better, worse)}."
            for better, worse in result.wrong
        ],
        "why": result.why,
        "cards": sorted(shown, key=lambda card: (card["known"], card["name"])),
    }


def _name(names: dict[int, str], result: QuizResult, place: int) -> str:
    """The name of the card of a response, which may be a copy of the one that it stands for."""
    return next(name for first, name in names.items() if result.responses[first] == result.responses[place])


def _mistake(ranks: list[int] | None, better: int, worse: int) -> str:
    if ranks is None:
        return "you skipped the item"
    return "you tied them" if ranks[better] == ranks[worse] else "you ranked them the other way round"
