"""Reviewers vote blind and administrators decide in the audited log, by page and by command line."""

import html
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from alignloop.__main__ import main
from alignloop.labeling.assignments import assigned_item
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.schema import Assignment, Event
from alignloop.release import champion
from alignloop.release.release_responses import RESPONSES, digest_of
from alignloop.tracking import registry
from tests.web.candidates import EVIL, GOLD, NAME, SCORE, publish_review, register, write_responses
from tests.web.conftest import SignedInClient


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
        "Too few votes to tell them apart, whatever they say: 4 votes on 2 prompts; ",
        "the candidate is preferred on 1, the champion on 1, neither on 0.",
        "9 of 9 asked rules are met; 1 not asked, against the champion.",
        "75 % simulated (form), 25 % people",
        '<span class="verdict met">met</span>',
        '<span class="verdict unasked">not asked</span>',
    ):
        assert words in html.unescape(overview) or words in overview
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
    for who in (ada, boss):
        after = html.unescape(who.get("/review").text)
        assert "<strong>Approved</strong>: alignloop-policy/2, by labeler-boss on " in after
        assert "Reason: <q>people like it</q>. Champion after it: alignloop-policy/2." in after
    assert "<td>ada</td><td>approve</td><td>alignloop-policy/1</td><td>passed</td><td>first</td>" in after
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
    for words in (NAME, "0.743", "Gates", "by people", "Decide", "prefer", "Wins and losses", "Decisions"):
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
    unclear = boss.submit("/review/decide", verb="delete", candidate=f"{NAME}/2", reason="so good")
    assert (unclear.status_code, "Choose to approve or to reject." in unclear.text) == (422, True)
    assert 'value="so good"' in unclear.text, "the reason is kept"
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
    write_responses(project)
    found = registry.find(project, f"{NAME}/2")
    told = (
        "the policy\n\n**Gates PASSED**: 9 of 9 asked rules are met\n\nWins by gold: 0.5.\n\n"
        "![The rounds side by side](get-artifact?run_uuid=1&path=a.png)\n\n[All results](get-artifact?x)\n\n"
        "**The candidate is better**\n\n> What?\n\n- candidate: an example\n\nBytes: b"
    )
    registry.annotate(project, found, {"responses": digest_of(project / RESPONSES)}, told)
    assert main(["review"]) == 0
    out = capsys.readouterr().out
    assert "THE CANDIDATE" in out
    assert "THE CHAMPION" in out
    assert "\x1b" not in out, "a response cannot control the terminal"
    assert f"{NAME}/2 @candidate" in out
    assert "gold 2.00: passes" in out
    assert "get-artifact" not in out, "links of MLflow's pages lead nowhere in a terminal"
    assert "an example" not in out, "the responses are shown once"
    assert out.count("is p0?") == 1
    places = [out.index(f"THE CANDIDATE IS {words}") for words in ("BETTER", "WORSE", "THE SAME")]
    assert places == sorted(places)
    assert f"approve {NAME}/1 (gates passed): first" in out
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
