"""Feedback and consent by the API: on what a client asked to store, with its own key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from sqlalchemy import select

from alignloop.labeling import api_keys, consent, conversations, feedback, stored_responses
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.feedback import Opinion
from alignloop.labeling.serving_schema import ChatMessage, Conversation
from alignloop.labeling.stored_responses import StoredResponse
from tests.web.chat_server import CHAMPION, ChatServer, client_of, raw, served_chat

MESSAGES: Any = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is the sea full of salt?"},
]
ASKED: Any = {"model": CHAMPION, "messages": MESSAGES, "max_tokens": 8, "store": True}


@pytest.fixture(scope="module")
def server(policies: Path, database: LabelingDatabase) -> Iterator[ChatServer]:
    with served_chat(policies, database, open_on_loopback=True) as server:
        yield server


def opinions_of(server: ChatServer, id: str) -> list[Opinion]:
    with server.database.reading() as session:
        query = select(ChatMessage).where(ChatMessage.conversation == id, ChatMessage.role == "assistant")
        found = session.scalars(query.order_by(ChatMessage.id)).all()
        opinions = feedback.opinions(session, [each.id for each in found])
    assert {each.model for each in found} == {"alignloop-policy/1"}
    return [opinions.get(each.id, Opinion()) for each in found]


def test_feedback_is_given_on_choices_whole_and_streamed(server: ChatServer, key: str) -> None:
    client = client_of(server, key)
    whole = client.chat.completions.create(**ASKED, n=2, seed=1)
    chunks = list(client.chat.completions.create(**ASKED, seed=2, stream=True))
    with raw(server, key) as http:
        second = {"response": whole.id, "choice": 1}
        saved = http.post("/v1/feedback", json=second | {"thumb": "down", "reason": "No.", "edit": "Salt."})
        assert saved.json() == {"object": "feedback", **second, "saved": True}
        assert http.post("/v1/feedback", json={"response": chunks[0].id, "thumb": "up"}).status_code == 200
        assert opinions_of(server, whole.id) == [Opinion(), Opinion(False, "No.", "Salt.")]
        assert opinions_of(server, chunks[0].id) == [Opinion(True)]
        assert http.post("/v1/feedback", json=second | {"thumb": "none"}).status_code == 200
        assert opinions_of(server, whole.id)[1] == Opinion(edit="Salt.")
        with server.database.reading() as session:
            conversation = session.get_one(Conversation, whole.id)
            texts = [
                each.content for each in session.scalars(select(ChatMessage)) if each.role == "assistant"
            ]
        assert (conversation.owner, conversation.system) == ("key-all", "Be brief.")
        assert whole.choices[1].message.content in texts
        for body, status, code in (
            ({"response": whole.id}, 400, "missing_required_parameter"),
            ({"response": whole.id, "thumb": "up", "more": 1}, 400, "unknown_parameter"),
            ({"response": whole.id, "thumb": "up", "choice": 2}, 404, "response_not_found"),
            ({"response": "chatcmpl-none", "thumb": "up"}, 404, "response_not_found"),
            ({"response": whole.id, "edit": " "}, 400, "invalid_value"),
        ):
            refused = http.post("/v1/feedback", json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    other = api_keys.create(server.database, "other", ["chat"], None, None)
    narrow = api_keys.create(server.database, "narrow", ["models"], None, None)
    for used, status in ((other, 404), (narrow, 403), ("none", 401)):
        with raw(server, used) as http:
            refused = http.post("/v1/feedback", json={"response": whole.id, "thumb": "up"})
            assert refused.status_code == status
    unstored = client.chat.completions.create(**ASKED | {"store": False}, seed=1)
    with raw(server, key) as http:
        body = {"response": unstored.id, "thumb": "up"}
        assert http.post("/v1/feedback", json=body).status_code == 404


def test_what_cannot_be_stored_is_refused_before_anything_is_generated(server: ChatServer, key: str) -> None:
    twice = [MESSAGES[1], MESSAGES[1]]
    empty = [{"role": "user", "content": " "}]
    for messages, words in ((twice, "roles alternate"), (empty, "a message is empty")):
        with pytest.raises(openai.BadRequestError, match=words) as refused:
            client_of(server, key).chat.completions.create(**ASKED | {"messages": messages})
        assert refused.value.param == "store"
    with pytest.raises(openai.BadRequestError, match="store needs an API key"):
        client_of(server, "none").chat.completions.create(**ASKED)


def test_a_key_agrees_to_the_statement_that_it_was_shown(server: ChatServer, key: str) -> None:
    with raw(server, key) as http:
        shown = http.get("/v1/consent").json()
        assert (shown["agreed"], shown["since"], shown["licence"]) == (False, None, "LicenseRef-Chat-Consent")
        old = http.post("/v1/consent", json={"version": "old", "agreed": True})
        assert (old.status_code, old.json()["error"]["code"]) == (409, "statement_changed")
        agreed = {"version": shown["version"], "agreed": True}
        assert http.post("/v1/consent", json=agreed).json()["agreed"] is True
        with server.database.reading() as session:
            assert consent.consents(session, shown["version"]).keys() == {"key-all"}
        assert http.post("/v1/consent", json=agreed | {"agreed": False}).json()["agreed"] is False


def test_the_oldest_stored_response_without_feedback_makes_room(
    database: LabelingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_responses, "MOST_CONVERSATIONS", 2)
    for id in ("first-response", "second-response", "third-response"):
        response = [StoredResponse("Yes.", "complete")]
        stored_responses.store(database, "key-small", id, MESSAGES, response, model="m/1", asked="m@champion")
        if id == "first-response":
            with database.reading() as session:
                message = stored_responses.find(session, "key-small", id, 0)
            feedback.rate(database, "key-small", id, message, is_up=True)
    with database.reading() as session:
        kept = [each.id for each in conversations.listed(session, "key-small")]
    assert kept == ["third-response", "first-response"]
