"""Requests that no page of ours would send are shown as text, refused, or without effect."""

import re
import time
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from alignloop.labeling import assignments, demonstrations, rounds
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.schema import Assignment, Item, Submission
from alignloop.records import Message, Prompt
from tests.web.conftest import SignedInClient, publish, samples

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)><a href=javascript:alert(1)>"


class Elements(HTMLParser):
    """Collects the elements of a page that would run a script or load something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {name: value or "" for name, value in attrs}
        runs = tag == "script" and not re.fullmatch(r"/static/[\w.]+\.js", own.get("src", ""))
        loads = tag in ("img", "iframe", "object", "embed") and own.get("src") != "/static/mark.svg"
        follows = any(
            own.get(name, "").strip().lower().startswith("javascript:")
            for name in ("href", "src", "action", "formaction")
        )
        if runs or loads or follows or any(name.startswith("on") for name in own):
            self.found.append(f"<{tag} {own}>")


def harmless(text: str) -> bool:
    elements = Elements()
    elements.feed(text)
    assert elements.found == []
    return True


def publish_prompt(database: LabelingDatabase, text: str) -> None:
    prompt = Prompt(
        id="p-d", messages=(Message(role="user", content=text),), user=text, category=text, source=text
    )
    demonstrations.publish(database, [prompt])


def test_every_field_filled_by_people_or_models_is_escaped(app: FastAPI, database: LabelingDatabase) -> None:
    system = (Message(role="system", content=EVIL), Message(role="user", content=EVIL))
    [sample] = samples(1, EVIL, f"```{EVIL}\n{EVIL}\n```", f"| {EVIL} |\n|---|\n| {EVIL} |")
    hostile = sample.model_copy(
        update={"prompt": sample.prompt.model_copy(update={"messages": system, "category": EVIL})}
    )
    rounds.publish(database, EVIL, [hostile], overlap=1, enough=1.0, deadline_hours=None)
    publish_prompt(database, EVIL)
    ada, boss = SignedInClient(app, database, "ada"), SignedInClient(app, database, "boss", role="admin")
    assignment = ada.work()
    pages = [ada.get("/"), *(ada.get(f"/item/{assignment}?answer={number}") for number in range(3))]
    pages.append(
        ada.submit(
            f"/item/{assignment}/rate", place=EVIL, number="0", overall=EVIL, hallucination=EVIL, active=EVIL
        )
    )
    pages.append(ada.submit(f"/item/{assignment}/rate", place="0", number="0", overall=EVIL))
    ada.rate(assignment)
    ada.post(
        f"/item/{assignment}/draft",
        json={"key": ada.key, "ranks": {EVIL: 1}, "about": {EVIL: EVIL, "category": EVIL}, "active": EVIL},
    )
    pages.append(ada.get(f"/item/{assignment}"))
    pages.append(
        ada.submit(
            f"/item/{assignment}/rank",
            **{"rank-A": EVIL, "rank-B": "1", "about-category": EVIL, "about-sensitive": EVIL},
        )
    )
    pages.append(ada.submit(f"/item/{assignment}/skip", reason=EVIL, words=EVIL))
    written = ada.work("demonstrate")
    ada.post(f"/item/{written}/draft", json={"key": ada.key, "turns": [EVIL]})
    pages.append(ada.get(f"/item/{written}"))
    pages.append(ada.submit(f"/item/{written}/write", **{"turn-0": EVIL, "more": "1"}))
    pages += [
        ada.submit(f"/item/{written}/write", **{"turn-0": EVIL}),
        ada.get(f"/item/{written}"),
        ada.get("/mine"),
    ]
    pages += [
        boss.get("/admin"),
        boss.submit("/admin/invite", name=EVIL, role=EVIL),
        boss.get("/admin/audit"),
    ]
    pages += [
        ada.get(f"/work/{EVIL}"),
        boss.submit(f"/admin/labelers/{EVIL}/exclude"),
        boss.submit(f"/admin/rounds/{EVIL}/close"),
    ]
    pages += [
        boss.post("/sign-in", data={"name": EVIL, "password": EVIL}),
        boss.get("/invitation/" + EVIL.replace("/", "")),
        boss.get("/admin/audit"),
    ]
    assert all(harmless(page.text) for page in pages)
    assert sum("&lt;script&gt;" in page.text for page in pages) >= 12


def test_the_check_for_active_elements_finds_them() -> None:
    for hostile in (
        "<script>x</script>",
        "<img src=x onerror=y>",
        "<p onclick=x>",
        "<a href='JavaScript:x'>",
        "<script src=//evil/x.js>",
    ):
        with pytest.raises(AssertionError):
            harmless(hostile)


def test_an_assignment_refuses_a_submission_for_another_job(app: FastAPI, database: LabelingDatabase) -> None:
    publish(database, 1)
    publish_prompt(database, "Hello?")
    ada = SignedInClient(app, database, "ada")
    ranked, written = ada.work(), ada.work("demonstrate")
    assert ada.submit(f"/item/{ranked}/write", **{"turn-0": "Not a ranking"}).status_code == 404
    assert ada.submit(f"/item/{written}/rank", **{"rank-A": "1"}).status_code == 404
    assert ada.submit(f"/item/{written}/rate", place="0", number="0", overall="1").status_code == 404
    with database.reading() as session:
        assert session.scalars(select(Submission)).all() == []


@pytest.mark.parametrize("number", ["-1", "2147483648", "99999999999999999999", "1e3", "0x1", "NaN", "1%00"])
def test_an_invalid_assignment_number_is_not_found(
    app: FastAPI, database: LabelingDatabase, number: str
) -> None:
    ada, boss = SignedInClient(app, database, "ada"), SignedInClient(app, database, "boss", role="admin")
    for path in (f"/item/{number}", f"/work/rank?saved={number}", f"/admin/audit?before={number}"):
        assert boss.get(path).status_code == 404, path
    assert ada.submit(f"/item/{number}/skip", words="x").status_code == 404


def test_lone_surrogates_nul_and_huge_numbers_are_replaced_or_dropped(
    app: FastAPI, database: LabelingDatabase
) -> None:
    publish(database, 1)
    publish_prompt(database, "Hello?")
    ada = SignedInClient(app, database, "ada")
    ranked, assignment = ada.work(), ada.work("demonstrate")
    strange = '"turns": ["a\\ud800b\\u0000c"], "about": {"\\udfff": "\\ud800"}'
    body = f'{{"key": "{ada.key}", {strange}, "active": {"9" * 400}}}'
    for item in (assignment, ranked):
        saved = ada.post(f"/item/{item}/draft", content=body, headers={"Content-Type": "application/json"})
        assert (saved.status_code, saved.json()) == (200, {"saved": True})
    assert "a?b␀c" in ada.get(f"/item/{assignment}").text
    ada.rate(ranked)
    assert ada.get(f"/item/{ranked}").status_code == 200
    wrong = ada.post(
        f"/item/{assignment}/draft",
        content='{"key": "\\ud800"}',
        headers={"Content-Type": "application/json"},
    )
    assert wrong.status_code == 403
    ada.submit(f"/item/{ranked}/skip", words="nul: \0")
    with database.reading() as session:
        assert session.scalars(select(Submission.skipped)).all() == ["nul: ␀"]


def test_a_jumping_clock_neither_loses_nor_duplicates_submissions(
    app: FastAPI, database: LabelingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(database, 2)
    ada, bob = SignedInClient(app, database, "ada"), SignedInClient(app, database, "bob")
    now = time.time()
    assignment = ada.work()
    ada.rate(assignment)
    for hours in (-5, 11, -3, 2):  # the server's clock; the labelers' clocks are not used
        monkeypatch.setattr(assignments, "time", SimpleNamespace(time=lambda hours=hours: now + hours * 3600))
        assert ada.work() == assignment
        other = bob.work()
        assert other != assignment
    ada.submit(f"/item/{assignment}/rank", **{"rank-A": "1", "rank-B": "2", "rank-C": "3"})
    bob.rate(other)
    bob.submit(f"/item/{other}/rank", **{"rank-A": "1", "rank-B": "2", "rank-C": "3"})
    with database.reading() as session:
        answers = session.scalars(select(Submission)).all()
        assert sorted(answer.labeler for answer in answers) == ["labeler-ada", "labeler-bob"]
        assert all(answer.seconds >= 0 for answer in answers)
        assert [
            (item.taken, item.done) for item in session.scalars(select(Item).where(Item.purpose == "work"))
        ] == [(0, 1)] * 2
        assert len(session.scalars(select(Assignment)).all()) == 2
