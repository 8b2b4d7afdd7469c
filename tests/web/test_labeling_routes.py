"""The labelers' pages, used by a client without JavaScript."""

import re
from itertools import pairwise

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from alignloop.labeling import activity, demonstrations, rounds
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.schema import Assignment, Guideline, Item, Submission
from alignloop.records import Message, Prompt, Ranking
from tests.web.conftest import SignedInClient, publish


def order(answers: list[Submission]) -> list[list[int] | None]:
    return [answer.ranks for answer in answers]


def test_a_labeler_qualifies_rates_and_ranks_and_the_rounds_rankings_contain_all_of_it(
    app: FastAPI, database: LabelingDatabase
) -> None:
    publish(database, 1)
    ada = SignedInClient(app, database, "ada", qualified=None)
    home = ada.get("/").text
    assert "Qualification" in home
    assert "/work/rank" not in home
    with database.reading() as session:
        quiz = {item.key: item for item in session.scalars(select(Item).where(Item.purpose == "quiz"))}
        texts = {item.prompt["messages"][-1]["content"]: item for item in quiz.values()}
    for _ in quiz:
        assignment = ada.work("quiz")
        with database.reading() as session:
            given = session.get_one(Assignment, assignment)
            item = session.get_one(Item, given.item)
        fields = {
            f"rank-{'ABC'[shown]}": str((item.known_ranks or [])[place])
            for shown, place in enumerate(given.presented)
        }
        ada.submit(f"/item/{assignment}/rank", **fields)
    assert len(texts) == len(quiz)
    assert "100 % agreement" in ada.get("/").text
    assert "You finished 0 today and 0 in all" in ada.get("/").text

    assignment = ada.work()
    page = ada.get(f"/item/{assignment}").text
    assert "Rate response A" in page
    assert page.count('class="body"') == 1  # alone
    ada.rate(assignment)
    page = ada.get(f"/item/{assignment}").text
    assert "Rank the responses" in page
    assert not re.search(r'name="rank-[A-C]"[^>]*checked', page)  # nothing is ranked before the labeler does
    assert "secret-name" not in page
    with database.reading() as session:
        presented = session.get_one(Assignment, assignment).presented
    done = ada.submit(
        f"/item/{assignment}/rank",
        **{
            "rank-A": "3",
            "rank-B": "1",
            "rank-C": "3",
            "about-ambiguous": "yes",
            "about-category": "chat",
            "active": "12.5",
        },
    )
    assert "What there is" in done.text or "Hello" in done.text
    with database.reading() as session:
        [ranking] = rounds.rankings(session, "r1")
        assert session.scalars(select(Guideline.version)).all() == [
            ranking.labeling.guidelines if ranking.labeling else ""
        ]
    assert [ranking.ranks[place] for place in presented] == [2, 1, 2]
    assert ranking.labeling is not None
    assert ranking.labeling.presented == tuple(presented)
    assert ranking.labeling.ratings == ({"overall": 4, "hallucination": 1},) * 3
    assert ranking.labeling.about == {"ambiguous": "yes", "category": "chat"}
    assert ranking.labeling.active_seconds == 12.5
    assert Ranking.model_validate_json(ranking.model_dump_json(), strict=True) == ranking


def test_a_labeler_who_fails_the_quiz_gets_no_work(app: FastAPI, database: LabelingDatabase) -> None:
    publish(database, 1)
    bob = SignedInClient(app, database, "bob", qualified=None)
    for _ in range(6):
        assignment = bob.work("quiz")
        with database.reading() as session:
            given = session.get_one(Assignment, assignment)
            known = session.get_one(Item, given.item).known_ranks or []
        bob.submit(
            f"/item/{assignment}/rank",
            **{f"rank-{'ABC'[n]}": str(4 - known[place]) for n, place in enumerate(given.presented)},
        )
    assert "The quiz was not passed" in bob.get("/").text
    assert "/item/" not in str(bob.get("/work/rank").url)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"rank-A": "1", "rank-B": "2"}, "Response C has no rank yet."),
        ({"rank-A": "1", "rank-B": "2", "rank-C": "4"}, "Response C has no rank yet."),
        ({"rank-A": "0", "rank-B": "2", "rank-C": "1"}, "Response A has no rank yet."),
        ({"rank-A": "²", "rank-B": "2", "rank-C": "1"}, "Response A has no rank yet."),
        (
            {"rank-A": "1", "rank-B": "2", "rank-C": "1", "about-category": "nonsense"},
            "Choose a use case from the list.",
        ),
    ],
)
def test_an_incomplete_ranking_is_refused_and_its_ranks_stay_on_the_page(
    app: FastAPI, database: LabelingDatabase, fields: dict[str, str], problem: str
) -> None:
    publish(database, 1)
    ada = SignedInClient(app, database, "ada")
    assignment = ada.work()
    early = ada.submit(f"/item/{assignment}/rank", **{"rank-A": "1", "rank-B": "2", "rank-C": "3"})
    assert early.status_code == 422
    assert "Rate each response first." in early.text
    ada.rate(assignment)
    page = ada.submit(f"/item/{assignment}/rank", **fields)
    assert page.status_code == 422
    assert problem in page.text
    assert re.search(r'name="rank-B" value="2" required checked', page.text)
    with database.reading() as session:
        assert session.scalars(select(Submission)).all() == []


def test_two_tabs_the_back_button_and_a_second_click_leave_one_submission(
    app: FastAPI, database: LabelingDatabase
) -> None:
    publish(database, 2)
    ada = SignedInClient(app, database, "ada")
    assignment = ada.work()
    assert ada.work() == assignment  # the other tab
    ada.rate(assignment)
    first = {"rank-A": "1", "rank-B": "2", "rank-C": "3"}
    ada.submit(f"/item/{assignment}/rank", **first)
    ada.submit(f"/item/{assignment}/rank", **{"rank-A": "3", "rank-B": "2", "rank-C": "1"})
    assert "This assignment is submitted" in ada.get(f"/item/{assignment}").text
    assert "A › B › C" in ada.get(f"/item/{assignment}").text
    with database.reading() as session:
        assert len(session.scalars(select(Submission)).all()) == 1


def test_a_draft_is_shown_again(app: FastAPI, database: LabelingDatabase) -> None:
    publish(database, 1)
    ada = SignedInClient(app, database, "ada")
    assignment = ada.work()
    ada.rate(assignment)
    body = {
        "key": ada.key,
        "ranks": {"A": 2, "ZZ": 1, "B": "x", "C": 10},
        "about": {"category": "chat"},
        "active": 33.25,
    }
    assert ada.post(f"/item/{assignment}/draft", json=body).json() == {"saved": True}
    page = ada.get(f"/item/{assignment}").text
    assert re.findall(r'name="rank-(.)" value="(.)" required checked', page) == [("A", "2")]
    assert "<option selected>chat" in page
    assert 'data-active="33.2"' in page
    assert ada.post(f"/item/{assignment}/draft", json={**body, "key": "other"}).status_code == 403


def test_a_skip_needs_a_reason(app: FastAPI, database: LabelingDatabase) -> None:
    publish(database, 1)
    ada, bob = SignedInClient(app, database, "ada"), SignedInClient(app, database, "bob")
    assignment = ada.work()
    assert ada.submit(f"/item/{assignment}/skip").status_code == 422
    ada.submit(f"/item/{assignment}/skip", reason="The prompt is unclear", words=" both readings fit ")
    with database.reading() as session:
        assert [answer.skipped for answer in session.scalars(select(Submission))] == [
            "The prompt is unclear · both readings fit"
        ]
    assert bob.work() != assignment


def test_a_response_to_a_prompt_and_a_written_conversation_become_demonstrations(
    app: FastAPI, database: LabelingDatabase
) -> None:
    prompt = Prompt(
        id="p1",
        messages=(Message(role="user", content="Hello?"),),
        user="user-7",
        category="chat",
        source="s",
    )
    assert demonstrations.publish(database, [prompt]) == 1
    assert demonstrations.publish(database, [prompt]) == 0
    ada = SignedInClient(app, database, "ada")
    assignment = ada.work("demonstrate")
    assert ada.submit(f"/item/{assignment}/write", **{"turn-0": "  "}).status_code == 422
    ada.submit(f"/item/{assignment}/write", **{"turn-0": "Hello!\r\nWhat can I do?"})
    assignment = ada.work("converse")
    more = ada.submit(f"/item/{assignment}/write", **{"turn-0": "Hi", "turn-1": "Hello", "more": "1"})
    assert more.text.count("<textarea") == 4
    assert ada.work("converse") == assignment
    problem = ada.submit(
        f"/item/{assignment}/write", **{"turn-0": "Hi", "turn-1": "Hello", "turn-2": "Bye", "turn-3": ""}
    )
    assert "The assistant has the last word" in problem.text
    ada.submit(
        f"/item/{assignment}/write",
        **{"turn-0": "Hi", "turn-1": "Hello", "turn-2": "Bye", "turn-3": "Good-bye"},
    )
    with database.reading() as session:
        first, second = demonstrations.written_demonstrations(session)
    assert [message.content for message in first.messages] == ["Hello?", "Hello!\nWhat can I do?"]
    assert (first.user, first.labeler, first.category) == ("user-7", "labeler-ada", "chat")
    assert [message.role for message in second.messages] == ["user", "assistant"] * 2
    assert second.user == "labeler-ada"


def test_a_labelers_own_work_is_shown_to_nobody_else(app: FastAPI, database: LabelingDatabase) -> None:
    publish(database, 3)
    ada, bob = SignedInClient(app, database, "ada"), SignedInClient(app, database, "bob")
    assignment = ada.work()
    ada.rate(assignment)
    for path in (f"/item/{assignment}", f"/item/{assignment}?answer=0", "/item/99999"):
        assert bob.get(path).status_code == 404
    for path in ("rate", "rank", "skip", "write"):
        assert (
            bob.submit(
                f"/item/{assignment}/{path}", place="0", number="0", overall="1", reason="x"
            ).status_code
            == 404
        )
    assert bob.post(f"/item/{assignment}/draft", json={"key": bob.key, "ranks": {"A": 1}}).status_code == 404
    ada.submit(f"/item/{assignment}/rank", **{"rank-A": "1", "rank-B": "2", "rank-C": "3"})
    assert "A › B › C" in ada.get("/mine").text
    assert "A › B › C" not in bob.get("/mine").text
    page = bob.get(f"/item/{bob.work()}?saved={assignment}")
    assert page.status_code == 200
    assert "Saved" not in page.text
    with database.reading() as session:
        assert [done.job for done in activity.own_submissions(session, "labeler-ada")] == ["rank"]


def test_an_implausible_time_in_view_is_discarded(app: FastAPI, database: LabelingDatabase) -> None:
    publish(database, 4)
    ada = SignedInClient(app, database, "ada")
    for active in ("7.25", "-1", "1e99", "nan"):
        assignment = ada.work()
        ada.rate(assignment)
        ada.submit(
            f"/item/{assignment}/rank", **{"rank-A": "1", "rank-B": "2", "rank-C": "3", "active": active}
        )
    with database.reading() as session:
        answers = session.scalars(select(Submission).order_by(Submission.submitted)).all()
    assert [answer.active_seconds for answer in answers] == [7.2, None, None, None]
    assert all(answer.seconds >= 0 for answer in answers)
    assert all(a.submitted <= b.submitted for a, b in pairwise(answers))
