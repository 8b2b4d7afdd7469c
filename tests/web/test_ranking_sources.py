"""Sources beside the responses that people rank and compare: escaped, folded, by keyboard, on a phone."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI

from alignloop.labeling import assignments, reviews, rounds
from alignloop.labeling.assignments import SubmissionContent
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.reviews import Pair
from alignloop.records import Message, Prompt, Samples
from alignloop.tool_turns import RolloutTurn, Turns
from tests.web.browser import assert_accessible, needs_chromium, sign_in
from tests.web.conftest import SignedInClient

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCRIPT = "<script>document.title='broken'</script>"
TITLE = f"The mill {SCRIPT}"
PASSAGE = f"[17] {TITLE} | mill.md | CC-BY-4.0\nThe mill was built in 1820. <img src=x onerror=alert(1)>"
CALL = '<tool_call>{"name": "search", "arguments": {"query": "mill <b>"}}</tool_call>'
TRUE, MADE_UP = "It was built in 1820 [17].", "It was built in 1821 [3]."
PROMPT = Prompt(
    id="p0", messages=(Message(role="user", content="When was the mill built?"),), user="u", source="test"
)


def turns(said: str) -> Turns:
    told = (("policy", CALL), ("tool", PASSAGE), ("policy", said))
    named = {"tool": {"tool": "search"}, "policy": {}}
    return tuple(
        RolloutTurn.model_validate({"by": by, "text": text, "tokens": 9} | named[by]) for by, text in told
    )


def publish(database: LabelingDatabase) -> None:
    sample = Samples(
        id="r1-p0",
        prompt=PROMPT,
        responses=(TRUE, MADE_UP),
        policy="models/sft",
        round="r1",
        split="train",
        turns=(turns(TRUE), turns(MADE_UP)),
    )
    rounds.publish(database, "r1", [sample], overlap=1, enough=1.0, deadline_hours=None)


def assert_sourced(page: str) -> None:
    assert "It was built in 1820 [1]." in page
    assert "It was built in 1821 [?]." in page
    assert "[17]" not in page
    assert page.count('aria-label="Sources"') == 1, "the made-up citation has none"
    assert "The mill &lt;script&gt;" in page
    assert "mill.md, CC-BY-4.0" in page
    assert "&lt;img src=x" in page
    assert "<b>search</b>: mill &lt;b&gt;" in page
    assert SCRIPT not in page
    assert "<img src=x" not in page


def test_responses_to_be_rated_and_ranked_are_shown_with_their_sources(
    app: FastAPI, database: LabelingDatabase
) -> None:
    publish(database)
    ada = SignedInClient(app, database, "ada")
    item = ada.work()
    ada.rate(item, k=2)
    pages = [ada.get(f"/item/{item}?answer={place}").text for place in range(2)]
    assert sorted("It was built in 1820 [1]." in page for page in pages) == [False, True]
    assert all(("[1]" in page) is ("CC-BY-4.0" in page) for page in pages)
    assert_sourced(ada.get(f"/item/{item}").text)
    form = {"rank-A": "1", "rank-B": "2"}
    assert ada.submit(f"/item/{item}/rank", **form).status_code == 200
    assert_sourced(ada.get(f"/item/{item}").text)
    with database.reading() as session:
        [ranking] = rounds.rankings(session, "r1")
    assert ranking.responses == (TRUE, MADE_UP), "records have the numbers of passages"


def test_a_blind_review_shows_sources_and_other_turns_are_another_review(
    app: FastAPI, database: LabelingDatabase
) -> None:
    def publish_pair(of_other: Turns | None) -> str | None:
        pair = Pair(PROMPT, TRUE, MADE_UP, (turns(TRUE), of_other))
        about = {"candidate": "m/2", "other": "m/1", "votes": 1, "report": {}}
        reviews.publish(database, "hash", pairs=[pair], **about)
        with database.reading() as session:
            newest = reviews.newest(session)
            return newest.digest if newest else None

    first = publish_pair(turns(MADE_UP))
    rita = SignedInClient(app, database, "rita", role="reviewer")
    assert_sourced(rita.get("/work/review").text)
    assert publish_pair(turns(MADE_UP)) == first
    assert publish_pair(None) != first
    content = SubmissionContent(ranks=(1, 1))
    sam = SignedInClient(app, database, "sam", role="reviewer")
    assert assignments.submit(database, sam.work("review"), sam.name, content, "g")
    with database.reading() as session:
        [voted] = reviews.voted_pairs(session, "hash")
    assert voted.pair.turns == (turns(TRUE), None)


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_sources_are_opened_by_keyboard_while_ranking(
    served_with: Callable[..., AbstractContextManager[str]],
    chromium: "Browser",
    database: LabelingDatabase,
    tmp_path: Path,
    width: int,
) -> None:
    publish(database)
    with served_with(ratings=[]) as url:
        page = sign_in(chromium, database, url, "ada")
        page.set_viewport_size({"width": width, "height": 860})
        page.goto(f"{url}/work/rank")
        look(page, width, os.environ.get("PICTURES", str(tmp_path)))


def look(page: "Page", width: int, folder: str) -> None:
    summary = page.locator(".sources summary")
    assert summary.inner_text() == f"{TITLE} mill.md, CC-BY-4.0"
    passage = page.locator(".sources blockquote")
    assert not passage.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    assert passage.is_visible()
    page.keyboard.press("1")
    assert page.locator("#rank .ranks input:checked").count() == 1, "the keys of the page are as ever"
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.title().startswith("Rank")
    page.screenshot(path=f"{folder}/ranking-sources-{width}.png", full_page=True)
