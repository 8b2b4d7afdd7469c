"""Suggestions in Chromium by keyboard: off until switched on, accepted, in part, dismissed."""

from pathlib import Path
from typing import TYPE_CHECKING

from alignloop.labeling import consent, suggestions
from alignloop.labeling.database import LabelingDatabase
from alignloop.rules.rule import Rule
from alignloop.rules.rule_set import RuleSet
from tests.web.browser import needs_chromium, sign_in
from tests.web.chat_server import served_chat
from tests.web.test_chat_feedback_browser import look
from tests.web.test_chat_routes import signed_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_chromium


def rows(database: LabelingDatabase) -> list[suggestions.Suggestion]:
    with database.reading() as session:
        return suggestions.all_suggestions(session)


def type_and_wait(page: "Page", text: str) -> None:
    """Type over what there is, and wait for the suggestion."""
    page.fill("#message", "")
    page.focus("#message")
    page.keyboard.type(text)
    page.wait_for_selector("#suggestion:visible")


def test_suggestions_are_off_then_accepted_in_part_and_dismissed_by_keyboard(
    chromium: "Browser", policies: Path, database: LabelingDatabase
) -> None:
    with served_chat(policies, database) as server:
        page = sign_in(chromium, database, server.url, "ada")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.fill("#message", "Is the sea")
        page.wait_for_timeout(800)
        assert not [url for url in asked if "suggestions" in url], "off by default"
        page.click("#settings-button")
        page.check("#suggest")
        look(page, "suggest-settings")
        page.click("#settings-button")
        type_and_wait(page, "Is the sea")
        page.keyboard.press("Escape")
        page.wait_for_selector("#suggestion", state="hidden")
        assert rows(database) == [], "without consent nothing is kept"
        version = server.server.config.app.state.statement.version  # pyright: ignore
        statement = server.server.config.app.state.statement  # pyright: ignore
        consent.decide(database, "labeler-ada", statement, version=version, agreed=True)
        type_and_wait(page, "Is the sea full")
        look(page, "suggestion")
        page.focus("#message")
        with page.expect_response("**/chat/suggestions/*"):
            page.keyboard.press("Tab")
        assert page.input_value("#message") == "Is the sea full" + rows(database)[0].completion
        assert page.evaluate("document.activeElement.id") == "message"
        type_and_wait(page, "Who painted")
        with page.expect_response("**/chat/suggestions/*"):
            page.keyboard.press("Escape")
        outcomes = [(row.text, row.outcome, row.model) for row in rows(database)]
        assert outcomes == [
            ("Is the sea full", "accepted", "alignloop-policy/1"),
            ("Who painted", "dismissed", "alignloop-policy/1"),
        ]
        page.context.close()


def test_a_rule_lets_no_suggestion_through_and_others_cannot_decide(
    policies: Path, database: LabelingDatabase
) -> None:
    rule = Rule.model_validate(
        {"keywords": ["fire"], "checks": "prompt", "action": "block", "message": "No."}
    )
    with served_chat(policies, database, RuleSet({"fire": rule})) as server, signed_in(server, "ada") as ada:
        asked = {"model": "alignloop-policy@champion", "text": "How do I make fire"}
        assert ada.post("/chat/suggestions", json=asked).json() == {"id": None, "text": ""}
        reply = ada.post("/chat/suggestions", json=asked | {"text": "How do I make tea"}).json()
        assert reply["id"] is None
        assert reply["text"]
        assert ada.post("/chat/suggestions/1", json={"outcome": "accepted"}).status_code == 404
        assert ada.post("/chat/suggestions", json=asked | {"more": 1}).status_code == 422
        assert ada.post("/chat/suggestions", json=asked | {"text": "  "}).status_code == 422
        del ada.headers["X-Form-Key"]
        assert ada.post("/chat/suggestions", json=asked).status_code == 403
