"""Reviewers vote blind and administrators decide in the audited log, by page and by command line."""

import shutil
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from alignloop.__main__ import main
from alignloop.data import record_files
from alignloop.labeling.assignments import assigned_item
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.schema import Assignment, Event
from alignloop.params import Params
from alignloop.records import EvaluatedResponse, Message, Prompt
from alignloop.release import champion
from alignloop.tracking import registry
from alignloop.web.app import create_app
from alignloop.web.settings import prepare_settings
from tests.web.candidates import GOLD, NAME, SCORE, publish_review, register
from tests.web.conftest import PROJECT, SignedInClient

EVIL = "\"><script>alert('x')</script>"


@pytest.fixture
def pages(project: Path, database: LabelingDatabase, params: Params) -> FastAPI:
    """The pages of a project with a model registry."""
    shutil.copytree(PROJECT / "configs", project / "configs")
    return create_app(database, prepare_settings(database, params, project))


def vote(who: SignedInClient, database: LabelingDatabase, candidate_better: bool | None) -> str:
    """Vote on the next pair for or against the candidate, or for neither; returns the page that follows."""
    assignment = who.work("review")
    with database.reading() as session:
        presented = assigned_item(session, assignment, who.name).presented
    better = "same"
    if candidate_better is not None:
        better = "AB"[presented.index(0 if candidate_better else 1)]
    return str(who.submit(f"/item/{assignment}/vote", better=better).url)


def test_the_votes_are_recorded_on_the_model_version_beside_gold_and_the_reward_model(
    project: Path, pages: FastAPI, database: LabelingDatabase
) -> None:
    new = publish_review(project, database)
    ada, bob = (
        SignedInClient(pages, database, "ada", role="reviewer"),
        SignedInClient(pages, database, "bob", role="reviewer"),
    )
    boss = SignedInClient(pages, database, "boss", role="admin")
    assert "2 pairs wait for your vote" in ada.get("/").text
    vote(ada, database, True)
    vote(ada, database, None)
    vote(bob, database, True)
    assert vote(bob, database, False).endswith("/review")
    found = registry.find(project, f"{NAME}@candidate")
    people = "0.625 [0.142, 0.944] on 2 prompts, 4 votes of 2 reviewers"  # Wilson with p = (1 + ¼) / 2, n = 2
    assert found.tags["wins_people"] == people
    assert f"by the reward model: {SCORE}; by people: {people}.\n\nBytes: b" in found.description
    overview = boss.get("/review").text
    for words in (
        people,
        GOLD,
        SCORE,
        f"{NAME}/2 against {NAME}/1",
        "4 of 4 votes",
        '<td dir="auto">0.715</td>',
    ):
        assert words in overview
    assert (
        boss.submit(
            "/review/decide", verb="approve", candidate=f"{NAME}/2", reason="people like it"
        ).status_code
        == 200
    )
    entry = champion.verify(project, NAME)[-1]
    assert (entry.who, entry.action, entry.model, entry.reason) == (
        "labeler-boss",
        "approve",
        f"{NAME}/2 {new.hash}",
        "people like it",
    )
    assert champion.unlogged_changes(project, NAME) == []
    assert registry.find(project, f"{NAME}@champion").version == 2
    assert "decision about the last candidate" in ada.get("/review").text
    with database.reading() as session:
        assert [
            event.subject for event in session.scalars(select(Event).where(Event.action == "decide"))
        ] == [f"{NAME}/2"]


def test_the_review_is_blind(project: Path, pages: FastAPI, database: LabelingDatabase) -> None:
    publish_review(project, database, count=6)
    ada = SignedInClient(pages, database, "ada", role="reviewer")
    first = []
    for _ in range(6):
        assignment = ada.work("review")
        text = ada.get(f"/item/{assignment}").text
        assert NAME not in text
        assert "candidate" not in text.lower()
        first.append(text.index("Of rock.") < text.index("Of cheese."))
        ada.submit(f"/item/{assignment}/vote", better="same")
    assert set(first) == {True, False}, "the candidate's response is on either side"
    for words in (NAME, "0.743", "Gates", "by people", "Decide"):
        assert words not in ada.get("/review").text, "a reviewer sees nothing that could bias a vote"


def test_each_role_may_do_only_its_own_actions(
    project: Path, pages: FastAPI, database: LabelingDatabase
) -> None:
    publish_review(project, database)
    ada = SignedInClient(pages, database, "ada", role="reviewer")
    eve = SignedInClient(pages, database, "eve")
    boss = SignedInClient(pages, database, "boss", role="admin")
    assignment = ada.work("review")
    assert eve.get("/review").status_code == 403
    assert "/review" not in eve.get("/").text
    assert str(eve.get("/work/review", follow_redirects=False).headers["location"]) == "/review"
    for who, path, status in (
        (eve, f"/item/{assignment}/vote", 403),
        (boss, f"/item/{assignment}/vote", 404),
        (ada, "/review/decide", 403),
    ):
        assert (
            who.submit(path, better="A", verb="approve", candidate=f"{NAME}/2", reason="x").status_code
            == status
        )
    assert ada.post(f"/item/{assignment}/vote", data={"key": "forged", "better": "A"}).status_code == 403
    assert (
        boss.post(
            "/review/decide",
            data={"key": ada.key, "verb": "approve", "candidate": f"{NAME}/2", "reason": "x"},
        ).status_code
        == 403
    )
    assert "Choose the better response" in ada.submit(f"/item/{assignment}/vote", better="C").text
    assert boss.submit("/review/decide", verb="approve", candidate=f"{NAME}/1", reason="x").status_code == 409
    assert boss.submit("/review/decide", verb="delete", candidate=f"{NAME}/2", reason="x").status_code == 409
    assert boss.submit("/review/decide", verb="reject", candidate=f"{NAME}/2", reason=" ").status_code == 422
    assert len(champion.verify(project, NAME)) == 1, "nothing was decided"
    ada.submit(f"/item/{assignment}/vote", better="A")
    ada.submit(f"/item/{assignment}/vote", better="B")
    with database.reading() as session:
        assert session.get_one(Assignment, assignment).state == "done"
    assert "A › B" in ada.get(f"/item/{assignment}").text, "a second vote changes nothing"


def test_responses_are_escaped(project: Path, pages: FastAPI, database: LabelingDatabase) -> None:
    publish_review(project, database, 1, 1, candidate=EVIL, other=f"```{EVIL}\n{EVIL}\n```")
    ada = SignedInClient(pages, database, "ada", role="reviewer")
    text = ada.get(f"/item/{ada.work('review')}").text
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(") >= 2


def test_the_command_line_shows_decides_verifies_and_rolls_back(
    project: Path, database: LabelingDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_review(project, database)
    prompt = Prompt(
        id="p",
        messages=(Message(role="user", content="What\x1b[2J is it?"),),
        user="u",
        source="test",
        category="fact",
    )
    marks = {"tokens": 3, "ended": True, "score": 0.5, "gold": 1.0, "made_up": None, "over_refused": None}
    answers = [
        EvaluatedResponse(
            id=name,
            prompt=prompt,
            model=name,
            response=f"{name} \x1b[31msays",
            passed=name == "policy",
            **marks,
        )
        for name in ("policy", "champion")
    ]
    (project / "data" / "release").mkdir(parents=True)
    record_files.write(project / "data" / "release" / "responses.jsonl", answers)
    assert main(["review"]) == 0
    out = capsys.readouterr().out
    assert "THE CANDIDATE" in out
    assert "THE CHAMPION" in out
    assert "\x1b" not in out, "a response cannot control the terminal"
    assert f"{NAME}/2 @candidate" in out
    assert "passes gold" in out
    assert out.splitlines()[-1].startswith(
        "decide: python -m alignloop review approve --name YOU --reason WHY   (or reject)"
    )
    assert main(["review", "approve", "--name", "bob"]) == 1
    assert "a decision has a name and a reason" in capsys.readouterr().err
    assert main(["review", "approve", "--name", "bob", "--reason", "better"]) == 0
    assert main(["rollback", "--name", "bob", "--reason", "worse after all"]) == 0
    capsys.readouterr()
    assert main(["review", "--audit"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ", 1)[1] for line in lines[:3]] == [
        f"approve {NAME}/1 (gates passed): first",
        f"approve {NAME}/2 (gates passed): better",
        f"rollback {NAME}/1 (gates passed): worse after all",
    ]
    assert lines[3:] == [
        "3 entries, all unchanged",
        "aliases and releases/champion.json match the log",
    ]
    log = project / "releases" / "audit.jsonl"
    log.write_text(log.read_text().replace("better", "bitter"))
    assert main(["review", "--audit"]) == 1
    assert "releases/audit.jsonl, entry 2: its seal does not fit its content" in capsys.readouterr().err


def test_the_command_line_shows_how_to_approve_a_candidate_that_the_gates_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.set_alias(project, "candidate", register(project, "new", gates="failed"))
    assert main(["review"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    suggested = (
        last.partition("python -m alignloop ")[2].replace("YOU", "bob").replace("WHY", "needed").split()
    )
    without = [word for word in suggested if word != "--despite-gates"]
    assert main(without) == 1
    assert "its gates say failed" in capsys.readouterr().err
    assert main(suggested) == 0
