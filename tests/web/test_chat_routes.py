"""What the chat page's server refuses, and how a long conversation is trimmed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from alignloop.labeling import accounts, conversations
from alignloop.labeling.database import LabelingDatabase
from alignloop.serving.engine import Engine
from alignloop.web.prompt_room import TurnRefused, fitted
from tests.serving.conftest import engine_of, tiny  # noqa: F401  fixtures
from tests.web.chat_server import ChatServer, served_chat


@pytest.fixture
def server(policies: Path, database: LabelingDatabase) -> Iterator[ChatServer]:
    with served_chat(policies, database) as server:
        yield server


def signed_in(server: ChatServer, name: str) -> httpx.Client:
    """A browser's session with the key of its page."""
    cookie = accounts.accept_invitation(
        server.database, accounts.invite(server.database, f"labeler-{name}", "labeler", "test"), None
    )
    with server.database.reading() as session:
        account = accounts.signed_in_account(session, cookie)
    assert account
    headers = {"X-Form-Key": account.form_key, "Accept": "application/json"}
    return httpx.Client(
        base_url=server.url, cookies={"alignloop": cookie}, headers=headers, trust_env=False, timeout=30
    )


def test_conversations_of_others_requests_without_the_key_and_strangers_are_refused(
    server: ChatServer,
) -> None:
    with signed_in(server, "ada") as ada, signed_in(server, "bob") as bob:
        reply = ada.post("/chat/prompts", json={"content": "Is the sea full of salt?"})
        id = reply.headers["X-Conversation"]
        assert reply.text.rstrip().splitlines()[-1].startswith('data: {"done":')
        assert "salt" in ada.get(f"/chat/c/{id}/thread").text
        place = f"/chat/c/{id}"
        for refused in (
            bob.get(place),
            bob.get(f"{place}/thread"),
            bob.post(f"{place}/again", json={"prompt": 1}),
            bob.post(place, json={"act": "delete"}),
            bob.post(place, json={"act": "stop"}),
            bob.post("/chat/prompts", json={"content": "x", "conversation": id}),
        ):
            assert refused.status_code == 404
        assert "salt" not in bob.get("/chat/list").text
        del bob.headers["X-Form-Key"]
        assert bob.post("/chat/prompts", json={"content": "x"}).status_code == 403
        del bob.cookies["alignloop"]
        assert bob.post("/chat/prompts", json={"content": "x"}).status_code == 401
        assert bob.get("/chat", headers={"Accept": "text/html"}).headers["Location"] == "/sign-in"
        assert bob.post("/chat/guest", json={}).status_code == 403
        other_site = ada.post(place, json={"act": "delete"}, headers={"Origin": "https://evil.example"})
        assert other_site.status_code == 403
        csp = ada.get("/chat").headers["Content-Security-Policy"]
        assert "script-src 'self';" in csp
        assert "unsafe" not in csp
        for wrong in ({}, {"content": ""}, {"content": "x", "more": 1}, {"content": "x" * 100_001}):
            assert ada.post("/chat/prompts", json=wrong).status_code == 422
        assert ada.post(place, json={"act": "delete"}).json() == {"done": True}
        assert ada.get(place).status_code == 404


def test_what_is_acknowledged_is_in_the_database_before_the_model_responds(server: ChatServer) -> None:
    with (
        signed_in(server, "ada") as ada,
        ada.stream("POST", "/chat/prompts", json={"content": "Is the sea full of salt?"}) as reply,
        server.database.reading() as session,
    ):
        found = conversations.find(session, "labeler-ada", reply.headers["X-Conversation"])
        assert conversations.branch(session, found)[0].message.content == "Is the sea full of salt?"


def test_the_oldest_turns_are_left_out_until_there_is_room_for_a_response(
    engine_of: Callable[..., Engine],  # noqa: F811
) -> None:
    engine = engine_of()
    turns = [
        {"role": role, "content": f"{'Who painted' if role == 'user' else 'Nobody knows'} {number}?"}
        for number in range(8)
        for role in ("user", "assistant")
    ][:-1]
    system = {"role": "system", "content": "Yes."}
    prompt, left_out, _ = fitted(engine, [system, *turns], None)
    assert 0 < left_out < len(turns)
    assert left_out % 2 == 0
    assert prompt == engine.encode_dialogue([system, *turns[left_out:]])
    assert len(prompt) + engine.context // 4 <= engine.context
    assert (
        len(engine.encode_dialogue([system, *turns[left_out - 2 :]])) + engine.context // 4 > engine.context
    )
    assert fitted(engine, turns[-1:], 8) == (engine.encode_dialogue(turns[-1:]), 0, False)
    with pytest.raises(TurnRefused, match="its context has 96 tokens, of which 24 are kept"):
        fitted(engine, [{"role": "user", "content": "Who? " * 90}], None)
