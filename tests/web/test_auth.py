"""Only invited people can sign in, and nothing that others send is more than text."""

import re
import shutil
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from starlette.testclient import TestClient

from alignloop.labeling import accounts
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.schema import Event, Labeler, SignInSession
from alignloop.params import Params
from alignloop.web.app import create_app
from alignloop.web.request_guard import MAX_REQUEST_BYTES
from alignloop.web.settings import prepare_settings
from tests.web.conftest import HOST, PROJECT, SignedInClient, publish

EVIL = "\"><script>alert('x')</script><img src=x onerror=alert(1)>{{7*7}}"
SQL = "'; DROP TABLE answers; --"


@pytest.fixture
def stranger(app: FastAPI) -> TestClient:
    return TestClient(app, base_url=HOST, follow_redirects=False)


def test_without_a_sign_in_only_the_sign_in_page_is_shown(stranger: TestClient) -> None:
    for path in ("/", "/work/rank", "/item/1", "/mine", "/guidelines", "/admin", "/admin/audit"):
        response = stranger.get(path)
        assert (response.status_code, response.headers["location"]) == (303, "/sign-in"), path
    for path in ("/item/1/rank", "/item/1/draft", "/admin/invite", "/sign-out"):
        assert stranger.post(path, data={"key": ""}).status_code in (303, 422), path
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert stranger.get(path).status_code == 404


def test_loading_an_invitation_link_does_not_use_it_and_its_form_sets_a_password(
    app: FastAPI, database: LabelingDatabase, stranger: TestClient
) -> None:
    secret = accounts.invite(database, "labeler-ada", "labeler", "test")
    for _ in range(2):
        assert "Welcome, ada" in stranger.get(f"/invitation/{secret}").text
    with database.reading() as session:
        assert session.scalars(select(SignInSession)).all() == []
    assert stranger.post(f"/invitation/{secret}", data={"password": "short"}).status_code == 403
    assert stranger.post(f"/invitation/{secret}", data={"password": "long enough indeed"}).status_code == 303
    assert stranger.get(f"/invitation/{secret}").status_code == 403
    fresh = TestClient(app, base_url=HOST, follow_redirects=False)
    assert fresh.post("/sign-in", data={"name": "ada", "password": "wrong"}).status_code == 403
    assert fresh.post("/sign-in", data={"name": "ada", "password": "long enough indeed"}).status_code == 303
    assert fresh.get("/").status_code == 200


def test_guessing_a_password_is_stopped(stranger: TestClient, database: LabelingDatabase) -> None:
    accounts.accept_invitation(
        database, accounts.invite(database, "labeler-ada", "labeler", "test"), "long enough indeed"
    )
    codes = [
        stranger.post("/sign-in", data={"name": "ada", "password": f"guess {n}"}).status_code
        for n in range(7)
    ]
    assert codes == [403] * 5 + [429] * 2
    assert (
        stranger.post("/sign-in", data={"name": "ada", "password": "long enough indeed"}).status_code == 429
    )


def test_a_planted_session_cookie_is_replaced_at_the_sign_in(
    app: FastAPI, database: LabelingDatabase
) -> None:
    secret = accounts.invite(database, "labeler-ada", "labeler", "test")
    victim = TestClient(app, base_url=HOST, cookies={"alignloop": "planted"}, follow_redirects=False)
    response = victim.post(f"/invitation/{secret}")
    cookie = response.headers["set-cookie"]
    assert "planted" not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    planted = TestClient(app, base_url=HOST, cookies={"alignloop": "planted"}, follow_redirects=False)
    assert planted.get("/").status_code == 303


def test_signing_out_ends_the_session_on_the_server(app: FastAPI, database: LabelingDatabase) -> None:
    ada = SignedInClient(app, database, "ada")
    cookie = ada.cookies["alignloop"]
    ada.submit("/sign-out")
    again = TestClient(app, base_url=HOST, cookies={"alignloop": cookie}, follow_redirects=False)
    assert again.get("/").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
        {"Origin": "file://"},
        {"Origin": "http://127.0.0.1:4301"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_cross_site_requests_are_refused(
    app: FastAPI, database: LabelingDatabase, headers: dict[str, str]
) -> None:
    publish(database)
    ada = SignedInClient(app, database, "ada")
    assignment = ada.work()
    assert (
        ada.post(
            f"/item/{assignment}/skip", data={"key": ada.key, "reason": "x"}, headers=headers
        ).status_code
        == 403
    )
    assert ada.post("/sign-in", data={"name": "ada", "password": "x"}, headers=headers).status_code == 403
    assert ada.get("/sign-in", headers={"Host": "evil.example"}).status_code == 400


def test_a_proxy_that_does_not_pass_host_on_does_no_harm(
    database: LabelingDatabase, params: Params, tmp_path: Path
) -> None:
    shutil.copytree(PROJECT / "configs", tmp_path / "configs")
    people = params.people.model_copy(update={"url": "https://labels.example"})
    plan = params.model_copy(update={"people": people})
    proxied = create_app(database, prepare_settings(database, plan, tmp_path))
    client = TestClient(proxied, base_url=HOST, follow_redirects=False)
    form = {"name": "ada", "password": "x"}
    own = client.post("/sign-in", data=form, headers={"Origin": "https://labels.example"})
    assert "Name and password do not match" in own.text
    other = client.post("/sign-in", data=form, headers={"Origin": "https://other.example"})
    assert other.status_code == 403
    assert "people.url" in other.text
    assert "https://labels.example" in other.text
    stray = client.get("/sign-in", headers={"Host": "evil.example"})
    assert stray.status_code == 400
    assert "https://labels.example" in stray.text
    assert "content-security-policy" in stray.headers


def test_a_form_without_the_sessions_key_or_with_another_key_is_refused(
    app: FastAPI, database: LabelingDatabase
) -> None:
    publish(database)
    ada, bob = SignedInClient(app, database, "ada"), SignedInClient(app, database, "bob")
    assignment = ada.work()
    for key in ("", bob.key, "ä"):
        assert ada.post(f"/item/{assignment}/skip", data={"key": key, "reason": "x"}).status_code == 403
        assert ada.post("/sign-out", data={"key": key}).status_code == 403


def test_every_text_is_escaped(app: FastAPI, database: LabelingDatabase) -> None:
    publish(database, 1, EVIL, f"```{EVIL}\n{EVIL}\n```", f"| {EVIL} |\n|---|\n| {EVIL} |", prompt=EVIL)
    boss, ada = SignedInClient(app, database, "boss", role="admin"), SignedInClient(app, database, "ada")
    assignment = ada.work()
    pages = [ada.get(f"/item/{assignment}?answer={n}").text for n in range(3)]
    ada.rate(assignment)
    pages += [
        ada.get(f"/item/{assignment}").text,
        ada.submit(f"/item/{assignment}/skip", words=EVIL).text,
        ada.get("/mine").text,
    ]
    pages += [
        ada.get(f"/item/{assignment}").text,
        boss.get("/admin/audit").text,
        boss.submit("/admin/invite", name=EVIL).text,
    ]
    pages += [boss.post("/sign-in", data={"name": EVIL, "password": EVIL}).text]
    pages += [boss.get("/admin/audit").text]
    for text in pages:
        assert not re.search(
            r"<script(?! src=\"/static/)|<img(?! src=\"/static/)|[\s\"']on\w+=(?!alert)", text
        )
        assert "<script>alert" not in text
        assert "49" not in re.findall(r"onerror=alert\(1\)&gt;(.{2})", text)
    assert sum("&lt;script&gt;alert(" in text for text in pages) >= 7


@pytest.mark.parametrize("name", [SQL, "labeler-' OR '1'='1", "x' UNION SELECT password FROM labelers --"])
def test_no_text_is_run_as_sql(
    app: FastAPI, database: LabelingDatabase, stranger: TestClient, name: str
) -> None:
    publish(database)
    ada, boss = SignedInClient(app, database, "ada"), SignedInClient(app, database, "boss", role="admin")
    assert stranger.post("/sign-in", data={"name": name, "password": name}).status_code == 403
    assert stranger.get(f"/invitation/{name}").status_code in (403, 404)
    assignment = ada.work()
    ada.submit(f"/item/{assignment}/skip", words=name)
    assert boss.submit(f"/admin/labelers/{name}/exclude").status_code in (400, 404)
    assert boss.submit(f"/admin/rounds/{name}/close").status_code in (400, 404)
    assert ada.get(f"/work/{name}").status_code == 404
    with database.reading() as session:
        assert session.get_one(Labeler, "labeler-ada").status == "active"
        assert any(name in str(line.details) for line in session.scalars(select(Event)))


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2f..%2fparams.py", "/static//etc/passwd"],
)
def test_no_path_leads_out_of_the_static_files(stranger: TestClient, path: str) -> None:
    assert stranger.get(path).status_code == 404
    assert stranger.get("/static/labeling.js").status_code == 200


def test_administration_requires_the_role_and_nobody_can_exclude_themselves(
    app: FastAPI, database: LabelingDatabase
) -> None:
    ada, boss = SignedInClient(app, database, "ada"), SignedInClient(app, database, "boss", role="admin")
    for path in ("/admin", "/admin/audit"):
        assert ada.get(path).status_code == 403
        assert boss.get(path).status_code == 200
    for path in ("/admin/invite", "/admin/labelers/labeler-boss/exclude", "/admin/rounds/r1/close"):
        assert ada.submit(path, name="eve").status_code == 403
    assert boss.submit("/admin/labelers/labeler-boss/exclude").status_code == 400
    page = boss.submit("/admin/invite", name="eve", role="labeler").text
    assert re.search(r"http://127\.0\.0\.1:4300/invitation/[\w-]{43}", page)
    boss.submit("/admin/labelers/labeler-ada/exclude")
    assert ada.get("/").status_code == 403
    boss.submit("/admin/labelers/labeler-ada/readmit")
    assert ada.get("/").status_code == 200
    with database.reading() as session:
        done = [
            (line.actor, line.action, line.subject)
            for line in session.scalars(select(Event).order_by(Event.id))
        ]
    assert ("labeler-boss", "invite", "labeler-eve") in done
    assert ("labeler-boss", "exclude", "labeler-ada") in done


def test_pages_load_nothing_from_other_sites(app: FastAPI, database: LabelingDatabase) -> None:
    ada = SignedInClient(app, database, "ada")
    for path in ("/", "/static/labeling.js", "/nowhere", "/item/x"):
        headers = ada.get(path).headers
        assert headers["content-security-policy"].startswith(
            "default-src 'none'; script-src 'self'; style-src 'self'"
        )
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
    for path in ("/", "/guidelines", "/mine"):
        assert not re.search(r"(src|href)=\"(https?:)?//", ada.get(path).text)
        assert ada.get(path).headers["cache-control"] == "no-store"


def test_requests_that_are_too_long_or_have_no_length_are_refused(
    app: FastAPI, database: LabelingDatabase
) -> None:
    publish(database)
    ada = SignedInClient(app, database, "ada")
    assignment = ada.work()
    assert (
        ada.post(
            f"/item/{assignment}/skip", data={"key": ada.key, "words": "x" * MAX_REQUEST_BYTES}
        ).status_code
        == 413
    )
    assert ada.post(f"/item/{assignment}/skip", content=iter([b"key=x"])).status_code == 411
