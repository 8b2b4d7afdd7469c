"""The page that decides about a candidate: wins and losses to read, the log, and a choice not preset."""

import html
import re
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import select

from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.schema import Review
from alignloop.release.release_responses import RESPONSES
from tests.web.candidates import NAME, publish_review, write_responses
from tests.web.conftest import SignedInClient
from tests.web.test_review_routes import vote


def test_the_deciding_page_shows_wins_and_losses_by_votes_and_by_the_judge_as_text(
    project: Path, pages: FastAPI, database: LabelingDatabase
) -> None:
    write_responses(project)
    publish_review(project, database, count=3, votes=1)
    ada = SignedInClient(pages, database, "ada", role="reviewer")
    boss = SignedInClient(pages, database, "boss", role="admin")
    for better in (True, False, None):
        vote(ada, database, better)
    page = boss.get("/review").text
    assert "<script>alert" not in page
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))
    votes, judge = text.split(" By gold By gold, the candidate")
    votes = votes.split("By the reviewers' votes")[1]
    assert "the candidate is preferred on 1 and the other model on 1" in votes
    better, worse = votes.split("The candidate is worse")
    assert "votes: 1 for the candidate, 0 for the other, 0 the same" in better
    assert "votes: 0 for the candidate, 1 for the other, 0 the same" in worse
    assert "'s response is better on 1 of 9 test prompts, worse on 7 and the same on 1." in judge
    better, worse = judge.split("Decisions before")[0].split("The candidate is worse")
    assert re.findall(r"What␛\[2J is (p\d)\?", better) == ["p0"]
    assert re.findall(r"What␛\[2J is (p\d)\?", worse) == ["p7", "p6", "p5", "p4", "p3"], "the largest first"
    assert "gold: candidate −7.00, the other 0.00" in worse
    (project / RESPONSES).write_bytes(b"")
    assert "By gold, the candidate" not in boss.get("/review").text, (
        "responses of another release are not shown"
    )


def test_a_log_that_was_changed_by_hand_is_said_on_the_page(
    project: Path, pages: FastAPI, database: LabelingDatabase
) -> None:
    publish_review(project, database)
    boss = SignedInClient(pages, database, "boss", role="admin")
    log = project / "releases" / "audit.jsonl"
    log.write_text(log.read_text().replace("first", "forged"))
    page = boss.get("/review")
    assert (page.status_code, "releases/audit.jsonl, entry 1: its seal does not fit" in page.text) == (
        422,
        True,
    )


def test_a_review_of_an_earlier_version_without_a_verdict_is_shown_all_the_same(
    project: Path, pages: FastAPI, database: LabelingDatabase
) -> None:
    publish_review(project, database)
    with database.writing() as session:
        for review in session.scalars(select(Review)):
            review.report = {"gates": "**Gates PASSED**", "wins": {}}
    boss = SignedInClient(pages, database, "boss", role="admin")
    page = boss.get("/review")
    assert page.status_code == 200
    assert "<code>make run</code> publishes them" in page.text


def test_neither_decision_is_preset_or_looks_like_the_one_to_take(
    project: Path, pages: FastAPI, database: LabelingDatabase
) -> None:
    publish_review(project, database)
    page = SignedInClient(pages, database, "boss", role="admin").get("/review").text
    form = page.partition('action="/review/decide"')[2].partition("</form>")[0]
    assert form.count('type="radio" name="verb"') == 2
    assert "checked" not in form
    assert 'class="go"' not in form
    assert f"Reject: {NAME}/1 stays the champion" in form
