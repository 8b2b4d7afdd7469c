"""A rule asks a person: the moderator answers, edits or refuses, and the user sees that a person did."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from alignloop.labeling import conversations, escalations
from alignloop.labeling.api_keys import SCOPES, create
from alignloop.labeling.consent import decide, read_statement
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.escalation_schema import Escalation
from alignloop.labeling.feedback_schema import ResponseComparison
from alignloop.labeling.schema import Event
from alignloop.rules.rule import Rule
from alignloop.rules.rule_set import RuleSet
from tests.web.browser import assert_accessible, needs_chromium, sign_in
from tests.web.chat_server import CHAMPION, ChatServer, client_of, served_chat
from tests.web.conftest import PROJECT
from tests.web.test_chat_browser import send
from tests.web.test_chat_routes import signed_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = needs_chromium
RULES = {
    "salt": {"keywords": ["salt"], "checks": "prompt", "action": "ask_person"},
    "words": {"pattern": r"(?s)\S.*", "checks": "response", "action": "ask_person", "message": "One moment."},
}


@pytest.fixture
def server(policies: Path, database: LabelingDatabase) -> Iterator[ChatServer]:
    rules = RuleSet({name: Rule.model_validate(rule) for name, rule in RULES.items()})
    with served_chat(policies, database, rules) as server:
        yield server


def test_a_moderator_answers_and_refuses_and_the_user_sees_that_a_person_did(
    chromium: "Browser", server: ChatServer, database: LabelingDatabase, tmp_path: Path
) -> None:
    ada = sign_in(chromium, database, server.url, "ada")
    send(ada, "Is the sea full of salt?")
    assert "A person will read this" in ada.inner_text(".message.assistant .text")
    send(ada, "Is it green?")
    assert ada.locator(".message.assistant .text").all_inner_texts()[1] == "One moment."
    assert ada.goto(f"{server.url}/moderation").status == 403  # type: ignore[union-attr]
    ada.goto(f"{server.url}/chat")

    bob = sign_in(chromium, database, server.url, "bob", "moderator")
    bob.click("text=Moderation")
    assert "2 prompts wait for a person" in bob.inner_text("main")
    assert_accessible(bob)
    bob.screenshot(path=tmp_path / "moderation.png", full_page=True)
    bob.click("text=Open >> nth=1")
    assert "the model's response below was not shown" in bob.inner_text("main")
    assert "Is it green?" in bob.inner_text("main")
    assert bob.input_value("[name=answer]") != ""
    assert_accessible(bob)
    bob.screenshot(path=tmp_path / "escalation.png", full_page=True)
    bob.set_viewport_size({"width": 390, "height": 800})
    bob.screenshot(path=tmp_path / "escalation-390.png", full_page=True)
    assert bob.evaluate("document.documentElement.scrollWidth") <= 390
    bob.fill("[name=answer]", "It is **blue**.")
    bob.click("text=Send to the user")
    bob.click("text=Open")
    bob.fill("[name=answer]", "")
    bob.click("text=Send to the user")
    assert "Write what the user reads" in bob.inner_text("[role=alert]")
    bob.click("button:text('Refuse')")
    assert "Nothing waits for a person." in bob.inner_text("main")

    with database.reading() as session:
        [found] = conversations.listed(session, "labeler-ada")
        actions = [event.action for event in session.scalars(select(Event).order_by(Event.id))]
    ada.goto(f"{server.url}/chat/c/{found.id}")
    assert ada.locator(".message.assistant .text").all_inner_texts() == [
        "I cannot help with this.",
        "It is blue.",
    ]
    assert ada.locator(".message.assistant .who").all_inner_texts() == ["A person", "A person"]
    assert "A person responded, not the model." in ada.inner_text("#thread")
    ada.screenshot(path=tmp_path / "answered.png", full_page=True)
    assert [each for each in actions if "escalation" in each] == ["answer escalation", "refuse escalation"]
    assert actions.count("rule ask_person") == 2
    for page in (ada, bob):
        page.context.close()


def test_a_prompt_for_a_person_is_asked_once_where_responses_are_compared(
    policies: Path, database: LabelingDatabase
) -> None:
    rules = RuleSet({"salt": Rule.model_validate(RULES["salt"])})
    with served_chat(policies, database, rules, compare_share=1.0) as server, signed_in(server, "ada") as ada:
        statement = read_statement(PROJECT, "configs/consent.md", "LicenseRef-Chat-Consent")
        decide(database, "labeler-ada", statement, version=statement.version, agreed=True)
        for prompt in ("Is the sea full of salt?", "Is it green?"):
            assert ada.post("/chat/prompts", json={"content": prompt}).status_code == 200
        with database.reading() as session:
            assert len(list(session.scalars(select(Escalation)))) == 1
            compared = list(session.scalars(select(ResponseComparison)))
    assert len(compared) == 1, "two responses to the prompt that is let through"


def test_an_escalation_is_closed_once_goes_with_its_conversation_and_programs_get_none(
    server: ChatServer, database: LabelingDatabase
) -> None:
    client: Any = client_of(server, create(database, "ada", SCOPES, None, None))
    reply = client.chat.completions.create(model=CHAMPION, messages=[{"role": "user", "content": "Salt?"}])
    assert reply.choices[0].finish_reason == "content_filter"
    assert "programs cannot wait" in reply.choices[0].message.content
    with database.reading() as session:
        assert escalations.count_open(session) == 0
    about: dict[str, Any] = {"model": CHAMPION, "system": "", "sampling": {}}
    id = conversations.create(database, "labeler-ada", "Salt?", **about)
    prompt = conversations.add_prompt(database, "labeler-ada", id, None, "Salt?")
    ask = escalations.Ask("salt", "prompt", "")
    values: dict[str, Any] = {"content": "Wait.", "model": "m", "state": "waiting", "left_out": 0, "ask": ask}
    conversations.add_response(database, "labeler-ada", id, parent=prompt, **values)
    with database.reading() as session:
        [waiting] = escalations.listed(session)
        [asked] = escalations.opened(session, waiting.id).dialogue
    assert asked.content == "Salt?"
    escalations.close(database, "labeler-bob", waiting.id, "No.", is_refused=True)
    with pytest.raises(escalations.EscalationClosed, match="labeler-bob has closed"):
        escalations.close(database, "labeler-eve", waiting.id, "Yes.", is_refused=False)
    conversations.delete_conversation(database, "labeler-ada", id)
    with database.reading() as session:
        assert session.scalars(select(Escalation)).all() == []
    with pytest.raises(escalations.EscalationNotFound):
        escalations.close(database, "labeler-eve", waiting.id, "Yes.", is_refused=False)
