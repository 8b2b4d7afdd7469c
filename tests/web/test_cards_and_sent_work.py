"""Equal responses on one card, rankings that were sent and reopened, the quiz's result, and own work."""

import re

import pytest
from fastapi import FastAPI

from alignloop.labeling import rounds
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.schema import Assignment, Item
from alignloop.web import home
from tests.web.conftest import SignedInClient, publish


def test_equal_responses_are_one_card_whose_ranks_ratings_and_flags_are_those_of_all_copies(
    app: FastAPI, database: LabelingDatabase
) -> None:
    publish(database, 1, "Rock.", "Cheese.", "Rock.", "Dust.", "Rock.")
    ada = SignedInClient(app, database, "ada")
    assignment = ada.work()
    with database.reading() as session:
        presented = session.get_one(Assignment, assignment).presented
    rocks = [letter for letter, place in zip("ABCDE", presented, strict=True) if place in (0, 2, 4)]
    cheese, dust = "ABCDE"[presented.index(1)], "ABCDE"[presented.index(3)]
    firsts = sorted((rocks[0], cheese, dust))
    page = ada.get(f"/item/{assignment}").text
    for position, letter in enumerate(firsts):
        assert f"on its own, {position + 1} of 3" in page
        place = presented["ABCDE".index(letter)]
        rating = {"place": str(place), "number": str(position), "overall": "5" if letter in rocks else "2"}
        page = ada.submit(f"/item/{assignment}/rate", **rating).text
    assert page.count('<article class="answer"') == 3
    assert " = ".join(rocks) in page
    assert not re.search(r'name="rank-." value="4"', page)
    # a flag alone and an incomplete ranking are kept as a draft
    flagged = {f"flag-{rocks[0]}-sexual": "1", f"flag-{cheese}-hallucination": "1"}  # the second was asked
    page = ada.submit(f"/item/{assignment}/rank", **{f"rank-{cheese}": "1"}, **flagged).text
    assert re.search(rf'name="flag-{rocks[0]}-sexual" value="1" checked', page)
    ranks = {f"rank-{rocks[0]}": "3", f"rank-{cheese}": "1", f"rank-{dust}": "1"}
    ada.submit(f"/item/{assignment}/rank", **ranks, **flagged)
    with database.reading() as session:
        [ranking] = rounds.rankings(session, "r1")
    assert (ranking.responses, ranking.ranks) == (
        ("Rock.", "Cheese.", "Rock.", "Dust.", "Rock."),
        (2, 1, 2, 1, 2),
    )
    assert ranking.labeling
    rock, other = {"overall": 5, "hallucination": 0, "sexual": 1}, {"overall": 2, "hallucination": 0}
    assert ranking.labeling.ratings == (rock, other, rock, other, rock)


def test_a_ranking_is_read_reopened_and_changed_until_its_round_is_closed(
    app: FastAPI, database: LabelingDatabase
) -> None:
    publish(database, 2)
    ada, bob = SignedInClient(app, database, "ada"), SignedInClient(app, database, "bob")
    assignment = ada.work()
    ada.rate(assignment)
    ranks = {"rank-A": "1", "rank-B": "2", "rank-C": "2", "flag-B-sexual": "1", "about-category": "chat"}
    ada.submit(f"/item/{assignment}/rank", **ranks)
    page = ada.get(f"/item/{assignment}").text
    for text in ("Rock.", "Cheese.", "Of rock.", "A › B = C", "rated 4/7", "Sexual content", "Reopen"):
        assert text in page
    for path in ("reopen", "keep"):
        assert bob.submit(f"/item/{assignment}/{path}").status_code == 404
    page = ada.submit(f"/item/{assignment}/reopen").text
    assert re.findall(r'name="rank-(.)" value="(.)" required checked', page) == [
        ("A", "1"),
        ("B", "2"),
        ("C", "2"),
    ]
    assert 'name="flag-B-sexual" value="1" checked' in page
    assert "<option selected>chat" in page
    assert 'class="skip"' not in page
    assert "being changed" in ada.get("/mine").text
    assert ada.work() != assignment, "other work goes on meanwhile"
    assert ada.submit(f"/item/{assignment}/skip", reason="x").status_code == 409
    page = ada.submit(f"/item/{assignment}/rank", **{"rank-A": "3", "rank-B": "2", "rank-C": "1"}).text
    assert "Saved: C › B › A" in page
    assert "being changed" not in ada.get("/mine").text
    ada.submit(f"/item/{assignment}/reopen")
    with database.writing() as session:
        rounds.close(session, "r1", "labeler-boss")
    sent = ada.submit(f"/item/{assignment}/rank", **{"rank-A": "1", "rank-B": "1", "rank-C": "1"})
    assert sent.status_code == 409
    assert "Round r1 is closed" in sent.text
    ada.submit(f"/item/{assignment}/keep")
    assert "It cannot be changed. Round r1 is closed" in ada.get(f"/item/{assignment}").text
    assert "C › B › A" in ada.get("/mine").text


def test_the_quiz_ends_with_what_was_off_what_is_right_and_why(
    app: FastAPI, database: LabelingDatabase
) -> None:
    bob = SignedInClient(app, database, "bob", qualified=None)
    assert "Your quiz" not in bob.get("/quiz").text, "nothing is told before the end"
    page, first = "", Item()
    assignment = 0
    for number in range(6):
        assignment = bob.work("quiz")
        assert "cannot be changed" not in page
        with database.reading() as session:
            given = session.get_one(Assignment, assignment)
            item = session.get_one(Item, given.item)
        known = item.known_ranks or []
        ranks = {place: known[place] if number else 1 for place in given.presented}  # all tied in the first
        fields = {f"rank-{'ABC'[n]}": str(ranks[place]) for n, place in enumerate(given.presented)}
        page = bob.submit(f"/item/{assignment}/rank", **fields).text
        if number == 0:
            first = item
    assert "Passed: 91 % agreement" in page
    items = page.split('<details class="sheet result"')[1:]
    assert [part.startswith(" open") for part in items] == [True] + [False] * 5
    assert items[0].count("is better than") == items[0].count("you tied them") == 3
    assert "You: <b>A = B = C</b>" in items[0]
    assert len(first.why) > 20
    for text in (first.why, *first.responses):
        assert text[:30] in items[0]
    assert "What was right, and why" in bob.get("/").text
    assert "first ranking counts" in bob.get(f"/item/{assignment}").text


def test_own_work_has_pages_and_the_administrator_sees_the_hours_left(
    app: FastAPI, database: LabelingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "PAGE", 2)
    publish(database, 4)
    ada, boss = SignedInClient(app, database, "ada"), SignedInClient(app, database, "boss", role="admin")
    for _ in range(3):
        assignment = ada.work()
        ada.rate(assignment)
        ada.submit(f"/item/{assignment}/rank", **{"rank-A": "1", "rank-B": "2", "rank-C": "3"})
    first, second = ada.get("/mine").text, ada.get("/mine?page=1").text
    assert (first.count("A › B › C"), second.count("A › B › C")) == (2, 1)
    assert ("Earlier" in first, "Later" in first, "Earlier" in second, "Later" in second) == (
        True,
        False,
        False,
        True,
    )
    assert "left: about 0 minutes of labelers&#39; time (21 s a ranking" in boss.get("/admin").text
    assert boss.submit("/admin/invite", name="ben").text.count("labeler-ben") >= 1
