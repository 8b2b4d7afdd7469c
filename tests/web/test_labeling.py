"""The labelers' pages as a browser without JavaScript uses them."""

import re
from itertools import pairwise

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from alignloop.labeling import activity, demonstrations, rounds
from alignloop.labeling.database import Store
from alignloop.labeling.schema import Answer, Assignment, Guideline, Item
from alignloop.records import Message, Prompt, Ranking
from tests.web.conftest import Visit, publish


def order(answers: list[Answer]) -> list[list[int] | None]:
    return [answer.ranks for answer in answers]


def test_a_labeler_qualifies_rates_each_answer_alone_ranks_them_and_all_of_it_is_in_the_rounds_rankings(
    app: FastAPI, store: Store
) -> None:
    publish(store, 1)
    ada = Visit(app, store, "ada", qualified=None)
    home = ada.get("/").text
    assert "Qualification" in home
    assert "/work/rank" not in home
    with store.reading() as session:
        quiz = {item.key: item for item in session.scalars(select(Item).where(Item.purpose == "quiz"))}
        texts = {item.prompt["messages"][-1]["content"]: item for item in quiz.values()}
    for _ in quiz:
        lent = ada.work("quiz")
        with store.reading() as session:
            given = session.get_one(Assignment, lent)
            item = session.get_one(Item, given.item)
        fields = {
            f"rank-{'ABC'[shown]}": str((item.known or [])[place])
            for shown, place in enumerate(given.presented)
        }
        ada.submit(f"/item/{lent}/rank", **fields)
    assert len(texts) == len(quiz)
    assert "100 % agreement" in ada.get("/").text

    lent = ada.work()
    page = ada.get(f"/item/{lent}").text
    assert "Rate answer A" in page
    assert page.count('class="body"') == 1  # alone
    ada.rate(lent)
    page = ada.get(f"/item/{lent}").text
    assert "Rank the answers" in page
    assert not re.search(r'name="rank-[A-C]"[^>]*checked', page)  # nothing is ranked before the labeler does
    assert "secret-name" not in page
    with store.reading() as session:
        presented = session.get_one(Assignment, lent).presented
    done = ada.submit(
        f"/item/{lent}/rank",
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
    with store.reading() as session:
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


def test_who_fails_the_quiz_gets_no_work(app: FastAPI, store: Store) -> None:
    publish(store, 1)
    bob = Visit(app, store, "bob", qualified=None)
    for _ in range(6):
        lent = bob.work("quiz")
        with store.reading() as session:
            given = session.get_one(Assignment, lent)
            known = session.get_one(Item, given.item).known or []
        bob.submit(
            f"/item/{lent}/rank",
            **{f"rank-{'ABC'[n]}": str(4 - known[place]) for n, place in enumerate(given.presented)},
        )
    assert "The quiz was not passed" in bob.get("/").text
    assert "/item/" not in str(bob.get("/work/rank").url)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"rank-A": "1", "rank-B": "2"}, "Answer C has no rank yet."),
        ({"rank-A": "1", "rank-B": "2", "rank-C": "4"}, "Answer C has no rank yet."),
        ({"rank-A": "0", "rank-B": "2", "rank-C": "1"}, "Answer A has no rank yet."),
        ({"rank-A": "²", "rank-B": "2", "rank-C": "1"}, "Answer A has no rank yet."),
        (
            {"rank-A": "1", "rank-B": "2", "rank-C": "1", "about-category": "nonsense"},
            "Choose a use case from the list.",
        ),
    ],
)
def test_an_unfinished_ranking_is_not_taken_and_what_was_chosen_stays(
    app: FastAPI, store: Store, fields: dict[str, str], problem: str
) -> None:
    publish(store, 1)
    ada = Visit(app, store, "ada")
    lent = ada.work()
    early = ada.submit(f"/item/{lent}/rank", **{"rank-A": "1", "rank-B": "2", "rank-C": "3"})
    assert early.status_code == 422
    assert "Rate each answer first." in early.text
    ada.rate(lent)
    page = ada.submit(f"/item/{lent}/rank", **fields)
    assert page.status_code == 422
    assert problem in page.text
    assert re.search(r'name="rank-B" value="2" required checked', page.text)
    with store.reading() as session:
        assert session.scalars(select(Answer)).all() == []


def test_two_tabs_the_back_button_and_a_second_click_leave_one_answer(app: FastAPI, store: Store) -> None:
    publish(store, 2)
    ada = Visit(app, store, "ada")
    lent = ada.work()
    assert ada.work() == lent  # the other tab
    ada.rate(lent)
    first = {"rank-A": "1", "rank-B": "2", "rank-C": "3"}
    ada.submit(f"/item/{lent}/rank", **first)
    ada.submit(f"/item/{lent}/rank", **{"rank-A": "3", "rank-B": "2", "rank-C": "1"})
    assert "This one is answered" in ada.get(f"/item/{lent}").text
    assert "A › B › C" in ada.get(f"/item/{lent}").text
    with store.reading() as session:
        assert len(session.scalars(select(Answer)).all()) == 1


def test_a_draft_comes_back(app: FastAPI, store: Store) -> None:
    publish(store, 1)
    ada = Visit(app, store, "ada")
    lent = ada.work()
    ada.rate(lent)
    body = {
        "key": ada.key,
        "ranks": {"A": 2, "ZZ": 1, "B": "x", "C": 10},
        "about": {"category": "chat"},
        "active": 33.25,
    }
    assert ada.post(f"/item/{lent}/draft", json=body).json() == {"saved": True}
    page = ada.get(f"/item/{lent}").text
    assert re.findall(r'name="rank-(.)" value="(.)" required checked', page) == [("A", "2")]
    assert "<option selected>chat" in page
    assert 'data-active="33.2"' in page
    assert ada.post(f"/item/{lent}/draft", json={**body, "key": "other"}).status_code == 403


def test_a_skip_needs_a_reason_and_gives_the_item_to_another(app: FastAPI, store: Store) -> None:
    publish(store, 1)
    ada, bob = Visit(app, store, "ada"), Visit(app, store, "bob")
    lent = ada.work()
    assert ada.submit(f"/item/{lent}/skip").status_code == 422
    ada.submit(f"/item/{lent}/skip", reason="The prompt is unclear", words=" both readings fit ")
    with store.reading() as session:
        assert [answer.skipped for answer in session.scalars(select(Answer))] == [
            "The prompt is unclear · both readings fit"
        ]
    assert bob.work() != lent


def test_a_prompt_is_answered_and_a_conversation_is_written_and_both_are_demonstrations(
    app: FastAPI, store: Store
) -> None:
    prompt = Prompt(
        id="p1",
        messages=(Message(role="user", content="Hello?"),),
        user="user-7",
        category="chat",
        source="s",
    )
    assert demonstrations.publish(store, [prompt]) == 1
    assert demonstrations.publish(store, [prompt]) == 0
    ada = Visit(app, store, "ada")
    lent = ada.work("demonstrate")
    assert ada.submit(f"/item/{lent}/write", **{"turn-0": "  "}).status_code == 422
    ada.submit(f"/item/{lent}/write", **{"turn-0": "Hello!\r\nWhat can I do?"})
    lent = ada.work("converse")
    more = ada.submit(f"/item/{lent}/write", **{"turn-0": "Hi", "turn-1": "Hello", "more": "1"})
    assert more.text.count("<textarea") == 4
    assert ada.work("converse") == lent
    problem = ada.submit(
        f"/item/{lent}/write", **{"turn-0": "Hi", "turn-1": "Hello", "turn-2": "Bye", "turn-3": ""}
    )
    assert "The assistant has the last word" in problem.text
    ada.submit(
        f"/item/{lent}/write", **{"turn-0": "Hi", "turn-1": "Hello", "turn-2": "Bye", "turn-3": "Good-bye"}
    )
    with store.reading() as session:
        first, second = demonstrations.written(session)
    assert [message.content for message in first.messages] == ["Hello?", "Hello!\nWhat can I do?"]
    assert (first.user, first.labeler, first.category) == ("user-7", "labeler-ada", "chat")
    assert [message.role for message in second.messages] == ["user", "assistant"] * 2
    assert second.user == "labeler-ada"


def test_a_labelers_own_work_is_shown_to_nobody_else(app: FastAPI, store: Store) -> None:
    publish(store, 3)
    ada, bob = Visit(app, store, "ada"), Visit(app, store, "bob")
    lent = ada.work()
    ada.rate(lent)
    for path in (f"/item/{lent}", f"/item/{lent}?answer=0", "/item/99999"):
        assert bob.get(path).status_code == 404
    for path in ("rate", "rank", "skip", "write"):
        assert (
            bob.submit(f"/item/{lent}/{path}", place="0", number="0", overall="1", reason="x").status_code
            == 404
        )
    assert bob.post(f"/item/{lent}/draft", json={"key": bob.key, "ranks": {"A": 1}}).status_code == 404
    ada.submit(f"/item/{lent}/rank", **{"rank-A": "1", "rank-B": "2", "rank-C": "3"})
    assert "A › B › C" in ada.get("/mine").text
    assert "A › B › C" not in bob.get("/mine").text
    page = bob.get(f"/item/{bob.work()}?saved={lent}")
    assert page.status_code == 200
    assert "Saved" not in page.text
    with store.reading() as session:
        assert [done.job for done in activity.own(session, "labeler-ada")] == ["rank"]


def test_the_time_in_view_is_believed_only_where_it_can_be(app: FastAPI, store: Store) -> None:
    publish(store, 4)
    ada = Visit(app, store, "ada")
    for active in ("7.25", "-1", "1e99", "nan"):
        lent = ada.work()
        ada.rate(lent)
        ada.submit(f"/item/{lent}/rank", **{"rank-A": "1", "rank-B": "2", "rank-C": "3", "active": active})
    with store.reading() as session:
        answers = session.scalars(select(Answer).order_by(Answer.submitted)).all()
    assert [answer.active_seconds for answer in answers] == [7.2, None, None, None]
    assert all(answer.seconds >= 0 for answer in answers)
    assert all(a.submitted <= b.submitted for a, b in pairwise(answers))
