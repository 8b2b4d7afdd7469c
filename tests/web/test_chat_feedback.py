"""Consent, thumbs, edits and comparisons over HTTP: what is saved, and what is refused."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from alignloop.labeling import conversations, feedback
from alignloop.labeling.conversations import Shown
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.feedback import Opinion
from alignloop.labeling.feedback_schema import ResponseComparison
from alignloop.labeling.serving_schema import ChatMessage
from tests.serving.conftest import Pacer
from tests.web.chat_server import CHAMPION, ChatServer, served_chat
from tests.web.test_chat_routes import signed_in


@pytest.fixture
def server(policies: Path, database: LabelingDatabase) -> Iterator[ChatServer]:
    with served_chat(policies, database, compare_share=1.0) as server:
        yield server


def decide(client: httpx.Client, decision: str, **changes: str) -> httpx.Response:
    """Send the form of the consent page, as it is shown."""
    fields = dict(re.findall(r'name="(key|version)" value="([^"]*)"', client.get("/chat/consent").text))
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Form-Key": ""}
    return client.post("/chat/consent", data=fields | {"decision": decision} | changes, headers=headers)


def say(client: httpx.Client, text: str, **settings: Any) -> tuple[str, str]:
    """Send a prompt; the conversation, and what was streamed."""
    values = {"model": CHAMPION, "max_tokens": 8, **settings}
    reply = client.post("/chat/prompts", json={"content": text, "settings": values})
    return reply.headers["X-Conversation"], reply.text


def shown(server: ChatServer, id: str) -> list[Shown]:
    with server.database.reading() as session:
        return conversations.branch(session, conversations.find(session, "labeler-ada", id))


def test_consent_is_off_until_it_is_given_on_its_page_and_is_withdrawn_there(server: ChatServer) -> None:
    with signed_in(server, "ada") as ada:
        page = ada.get("/chat/consent").text
        assert "You have not agreed" in page
        assert "Licence of the data: LicenseRef-Chat-Consent." in page
        assert decide(ada, "agree", key="another").status_code == 403
        assert decide(ada, "agree", version="another").status_code == 409
        assert decide(ada, "perhaps").status_code == 422
        assert "You have not agreed" in ada.get("/chat/consent").text
        assert "training: off" in ada.get("/chat").text
        assert decide(ada, "agree").headers["Location"] == "/chat/consent"
        assert "You have agreed" in ada.get("/chat/consent").text
        assert "training: on" in ada.get("/chat").text
        with signed_in(server, "bob") as bob:
            assert "You have not agreed" in bob.get("/chat/consent").text
        decide(ada, "withdraw")
        assert "You have not agreed" in ada.get("/chat/consent").text
        del ada.cookies["alignloop"]
        assert ada.get("/chat/consent", headers={"Accept": "text/html"}).headers["Location"] == "/sign-in"
        assert ada.post("/chat/consent", data={"decision": "agree"}).status_code in (303, 401)


def test_thumbs_and_edits_are_saved_with_the_version_and_those_of_others_refused(server: ChatServer) -> None:
    with signed_in(server, "ada") as ada, signed_in(server, "bob") as bob:
        id, _ = say(ada, "Is the sea full of salt?", system="Be brief.")
        [_, answered] = [each.message for each in shown(server, id)]
        assert answered.system == "Be brief."
        place, response = f"/chat/c/{id}", {"response": answered.id}
        wrongs = ({}, {"thumb": "sideways"}, {"thumb": "up", "reason": "x" * 2001}, {"thumb": "up", "a": 1})
        for wrong in wrongs:
            assert ada.post(f"{place}/thumb", json=response | wrong).status_code == 422
        for what, values in (("thumb", {"thumb": "up"}), ("edit", {"text": "Salt."})):
            assert bob.post(f"{place}/{what}", json=response | values).status_code == 404
            headers = {"X-Form-Key": "another"}
            refused = ada.post(f"{place}/{what}", json=response | values, headers=headers)
            assert refused.status_code == 403
        reason = {"thumb": "down", "reason": "<b>Cold</b>"}
        assert ada.post(f"{place}/thumb", json=response | reason).json() == {"done": True}
        assert ada.post(f"{place}/edit", json=response | {"text": "<i>Salt</i>"}).json() == {"done": True}
        again = ada.post(f"{place}/edit", json=response | {"text": answered.content + " "})
        assert again.status_code == (409 if answered.content else 422)
        with server.database.reading() as session:
            found = feedback.opinions(session, [answered.id])
        assert found == {answered.id: Opinion(False, "<b>Cold</b>", "<i>Salt</i>")}
        page = ada.get(f"{place}/thread").text
        assert "Your reason: &lt;b&gt;Cold&lt;/b&gt;" in page
        assert "&lt;i&gt;Salt&lt;/i&gt;" in page
        assert re.findall(r'aria-pressed="(\w+)"', page) == ["false", "true"]
        ada.post(f"{place}/thumb", json=response | {"thumb": "none"})
        assert re.findall(r'aria-pressed="(\w+)"', ada.get(f"{place}/thread").text) == ["false", "false"]


def test_two_responses_are_compared_with_consent_alone_and_where_they_can_differ(server: ChatServer) -> None:
    with signed_in(server, "ada") as ada, signed_in(server, "bob") as bob:
        id, streamed = say(ada, "Is the sea full of salt?")
        assert '"side"' not in streamed
        decide(ada, "agree")
        for settings in ({"seed": 1}, {"temperature": 0}):
            assert '"side"' not in say(ada, "Is the sea full of salt?", **settings)[1]
        id, streamed = say(ada, "Is the sea full of salt?")
        for side in (0, 1):
            assert len(re.findall(rf'"side":{side},"done":\d+,"state":"(?:complete|cut)"', streamed)) == 1
        with server.database.reading() as session:
            [found] = session.scalars(select(ResponseComparison))
            left, right = feedback.compared(session, found)
        assert found.conversation == id
        assert left.parent == right.parent
        page = ada.get(f"/chat/c/{id}/thread").text
        assert page.count("<section") == 2
        assert 'data-choice="neither"' in page
        chosen = {"comparison": found.id, "choice": "right"}
        assert bob.post(f"/chat/c/{id}/choice", json=chosen).status_code == 404
        assert ada.post(f"/chat/c/{id}/choice", json=chosen | {"choice": "both"}).status_code == 422
        assert ada.post(f"/chat/c/{id}/choice", json=chosen).json() == {"done": True}
        assert ada.post(f"/chat/c/{id}/choice", json=chosen).status_code == 409
        assert shown(server, id)[-1].message.id == right.id
        assert "<section" not in ada.get(f"/chat/c/{id}/thread").text


def test_a_comparison_that_is_stopped_is_none_and_both_responses_end(server: ChatServer) -> None:
    lease = server.pool.lease(CHAMPION)
    pacer = Pacer(lease.engine)
    with signed_in(server, "ada") as ada:
        decide(ada, "agree")
        values = {"content": "Is the sea full of salt?", "settings": {"model": CHAMPION}}
        with ada.stream("POST", "/chat/prompts", json=values) as reply:
            id = reply.headers["X-Conversation"]
            assert ada.post(f"/chat/c/{id}", json={"act": "stop"}).json() == {"done": True}
            pacer.step(100)
            assert reply.read().count(b'"state":"stopped"') == 2
        with server.database.reading() as session:
            states = [each.state for each in session.scalars(select(ChatMessage)) if each.role == "assistant"]
            assert states == ["stopped", "stopped"]
            assert session.scalars(select(ResponseComparison)).all() == []
        assert ada.post(f"/chat/c/{id}", json={"act": "delete"}).json() == {"done": True}
    lease.end()
