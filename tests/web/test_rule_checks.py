"""Rules while a model is served: nothing that a rule blocks is shown, and every decision is in the audit."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from sqlalchemy import select

from alignloop.inference import chat_endpoint
from alignloop.labeling import conversations
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.schema import Event
from alignloop.labeling.serving_schema import ChatMessage
from alignloop.rules.rule import Rule
from alignloop.rules.rule_set import RuleSet
from alignloop.web.chat_turns import Turns
from alignloop.web.rule_checks import RuleChecks
from tests.web.api.conftest import database, key  # noqa: F401  fixtures of a module
from tests.web.chat_server import CHAMPION, ChatServer, client_of, served_chat
from tests.web.test_chat_routes import signed_in

PROMPT = "Is the sea full of salt? Write to ada@example.org"
ASKED: Any = {
    "model": CHAMPION,
    "messages": [{"role": "user", "content": PROMPT}],
    "seed": 1,
    "max_tokens": 20,
}
ANYTHING = {"pattern": r"(?s)\S.*", "checks": "response"}
SALT = {"keywords": ["salt"], "checks": "prompt", "action": "block", "message": "No salt here."}
CONTACT = {"pii": ["EMAIL"], "checks": "prompt", "action": "redact"}


@pytest.fixture(scope="module")
def server(policies: Path, database: LabelingDatabase) -> Iterator[ChatServer]:  # noqa: F811
    with served_chat(policies, database) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: ChatServer, key: str) -> Any:  # noqa: F811
    return client_of(server, key)


@pytest.fixture
def under(server: ChatServer) -> Callable[..., None]:
    """Let the server apply other rules."""

    def apply(**rules: dict[str, Any]) -> None:
        state: Any = server.server.config.app.state  # type: ignore[union-attr]
        stated = RuleSet({name: Rule.model_validate(rule) for name, rule in rules.items()})
        checks = RuleChecks(stated, server.database, state.metrics)
        state.checks, state.turns = checks, Turns(server.pool, checks)

    return apply


def audit(server: ChatServer) -> list[tuple[str, str, str, dict[str, Any]]]:
    with server.database.reading() as session:
        lines = session.scalars(select(Event).where(Event.action.startswith("rule ")).order_by(Event.id))
        return [(line.actor, line.action, line.subject, line.details) for line in lines]


def streamed(client: Any, **changes: Any) -> tuple[list[str], str | None]:
    """The pieces of the first response, and how it ended."""
    chunks = [chunk.choices[0] for chunk in client.chat.completions.create(**ASKED | changes, stream=True)]
    return [chunk.delta.content for chunk in chunks if chunk.delta.content], chunks[-1].finish_reason


def test_a_blocked_response_is_not_shown_in_part_either(
    server: ChatServer, client: Any, under: Callable[..., None]
):
    under(no_words={**ANYTHING, "action": "block", "message": "Not this."})
    reply = client.chat.completions.create(**ASKED, n=2, logprobs=True)
    assert [each.message.content for each in reply.choices] == ["Not this."] * 2
    assert {each.finish_reason for each in reply.choices} == {"content_filter"}
    assert not any(each.logprobs for each in reply.choices)
    assert reply.usage.completion_tokens > 0
    assert streamed(client, logprobs=True) == (["Not this."], "content_filter")
    text = client.completions.create(model=CHAMPION, prompt=["Is it", "Who"], max_tokens=8)
    assert [each.text for each in text.choices] == ["Not this."] * 2
    actor, action, rule, details = audit(server)[-1]
    assert (actor, action, rule) == ("all", "rule block", "no_words")
    assert details == {
        "side": "response",
        "where": "/v1/completions",
        "rules": ["no_words"],
        "model": "alignloop-policy/1",
    }


def test_a_response_is_redacted_as_a_whole_and_log_holds_nothing_back(
    server: ChatServer, client: Any, under: Callable[..., None]
):
    under()
    plain, _ = streamed(client)
    assert len(plain) > 1
    under(words={**ANYTHING, "action": "log"})
    before = len(audit(server))
    assert "".join(streamed(client)[0]) == "".join(plain)
    assert [line[1:3] for line in audit(server)[before:]] == [("rule log", "words")]
    under(words={"pattern": r"\S+", "checks": "response", "action": "redact"})
    pieces, _ = streamed(client)
    assert len(pieces) == 1
    assert set(pieces[0].split()) == {"<WORDS>"}
    assert len(pieces[0].split()) == len("".join(plain).split())


def test_a_blocked_prompt_reaches_no_model_and_a_redacted_one_as_such(
    server: ChatServer, client: Any, under: Callable[..., None], caplog: pytest.LogCaptureFixture
):
    under(salt=SALT, contact=CONTACT)
    before = len(audit(server))
    reply = client.chat.completions.create(**ASKED)
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (
        "No salt here.",
        "content_filter",
    )
    assert reply.usage.total_tokens == 0
    assert streamed(client) == (["No salt here."], "content_filter")
    assert client.completions.create(model=CHAMPION, prompt=PROMPT, n=2).choices[1].text == "No salt here."
    lines = audit(server)[before:]
    assert [line[1:3] for line in lines] == [("rule block", "salt")] * 3
    assert lines[0][3]["rules"] == ["salt", "contact"]
    assert "ada@example.org" not in json.dumps(lines) + caplog.text
    client.chat.completions.create(**ASKED, store=True)
    with server.database.reading() as session:
        assert not session.scalars(select(ChatMessage.content)).all(), "a blocked prompt is not stored"
    under(contact=CONTACT)
    redacted = ASKED | {
        "messages": [{"role": "user", "content": PROMPT.replace("ada@example.org", "<EMAIL>")}]
    }
    of_redacted, of_original = (client.chat.completions.create(**each) for each in (redacted, ASKED))
    assert of_original.choices[0].message.content == of_redacted.choices[0].message.content
    assert of_original.usage.prompt_tokens == of_redacted.usage.prompt_tokens
    client.chat.completions.create(**ASKED, store=True)
    with server.database.reading() as session:
        stored = session.scalars(select(ChatMessage.content).where(ChatMessage.role == "user")).all()
    assert stored == [redacted["messages"][0]["content"]], "what is stored is what the rules left"


def test_a_rule_that_cannot_be_checked_lets_nothing_through(
    client: Any, under: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(chat_endpoint, "BACK_OFF_S", 0.0)
    judge = {"url": "http://127.0.0.1:9/v1", "name": "j", "question": "Is it?"}
    under(judged={"judge": judge, "checks": "prompt", "action": "log"})
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(**ASKED)
    assert (refused.value.status_code, refused.value.code) == (503, "rule_failed")
    assert "127.0.0.1:9" not in str(refused.value)
    under(judged={"judge": judge, "checks": "response", "action": "log"})
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(**ASKED)


def sent(person: httpx.Client, content: str, **more: Any) -> tuple[str, list[dict[str, Any]]]:
    """The conversation, and the events of the response."""
    reply = person.post("/chat/prompts", json={"content": content, **more})
    assert reply.status_code == 200, reply.text
    events = [json.loads(line[6:]) for line in reply.text.split("\n\n") if line]
    return reply.headers["X-Conversation"], events


def test_the_page_stores_what_is_redacted_and_forgets_blocked_turns(
    server: ChatServer, under: Callable[..., None]
):
    under(salt=SALT, contact=CONTACT, no_words={**ANYTHING, "action": "log"})
    with signed_in(server, "ada") as ada:
        id, events = sent(ada, PROMPT)
        assert events[0] == {"text": "No salt here."}
        assert events[-1]["state"] == "blocked"
        assert "A rule of this server" in ada.get(f"/chat/c/{id}/thread").text
        assert audit(server)[-1][:3] == ("labeler-ada", "rule block", "salt")
        blocked = events[-1]["done"]
        _, events = sent(ada, "Is it green? Write to ada@example.org", conversation=id, parent=blocked)
        assert events[-1]["state"] in ("complete", "cut")  # the model did not read of salt
        with server.database.reading() as session:
            found = conversations.find(session, "labeler-ada", id)
            stored = [each.message.content for each in conversations.branch(session, found)]
        assert stored[2] == "Is it green? Write to <EMAIL>"
        assert ("labeler-ada", "rule redact", "contact") in [line[:3] for line in audit(server)]
        under(no_words={**ANYTHING, "action": "block", "message": "Not this."})
        _, events = sent(ada, "Is it green?", conversation=id, parent=events[-1]["done"])
        assert [event.get("text") for event in events] == [None, "Not this.", None]
        assert "has been checked" in events[0]["note"]
        assert events[-1]["state"] == "blocked"
