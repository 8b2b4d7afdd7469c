"""Consent and feedback in Chromium, by keyboard, at 1280 and at 390 px."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.feedback_schema import ResponseComparison, ResponseFeedback
from tests.web.browser import assert_accessible, needs_chromium, sign_in
from tests.web.chat_server import ChatServer, served_chat
from tests.web.test_chat_browser import send

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_chromium
PHONE, DESK = {"width": 390, "height": 800}, {"width": 1280, "height": 860}


@pytest.fixture
def server(policies: Path, database: LabelingDatabase) -> Iterator[ChatServer]:
    with served_chat(policies, database, compare_share=1.0) as server:
        yield server


def press(page: "Page", selector: str) -> None:
    """Press a button as the keyboard does."""
    page.focus(selector)
    page.keyboard.press("Enter")


def look(page: "Page", name: str) -> None:
    """At both widths: nothing is wider than the screen, and axe finds nothing serious."""
    for size in (PHONE, DESK):
        page.set_viewport_size(size)  # pyright: ignore[reportArgumentType]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if folder := os.environ.get("ALIGNLOOP_PICTURES"):
            page.screenshot(path=f"{folder}/{name}-{size['width']}.png")
    assert_accessible(page)


def test_feedback_before_and_after_consent_by_keyboard(
    chromium: "Browser", server: ChatServer, database: LabelingDatabase
) -> None:
    page = sign_in(chromium, database, server.url, "ada")
    send(page, "Is the sea full of salt?")
    press(page, "[data-thumb=down]")
    page.wait_for_selector("text=It is not used for training: you have not agreed to that.")
    page.keyboard.type("Too short.")
    look(page, "reason")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Your reason: Too short.")
    assert page.evaluate("document.activeElement.dataset.thumb") == "down"
    press(page, "[data-act=improve]")
    page.keyboard.press("Control+a")
    page.keyboard.type("Yes, it is full of salt.")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=What you wrote it should have been")
    press(page, ".improved summary")
    look(page, "feedback")
    with database.reading() as session:
        rows = {each.kind: each for each in session.scalars(select(ResponseFeedback))}
    assert (rows["thumb"].is_up, rows["thumb"].text) == (False, "Too short.")
    assert rows["edit"].text == "Yes, it is full of salt."
    press(page, "[data-thumb=down]")
    page.wait_for_selector("[data-thumb=down][aria-pressed=false]")

    page.click("text=Use for training: off")
    look(page, "consent")
    page.keyboard.press("Tab")
    press(page, "text=I agree")
    page.wait_for_selector("text=You have agreed")
    page.click("text=Back to the chat")
    page.wait_for_selector("text=Use for training: on")
    send(page, "Who painted the door green?")
    page.wait_for_selector(".compare section >> nth=1")
    look(page, "compare")
    press(page, "[data-choice=right]")
    page.wait_for_selector(".compare", state="detached")
    page.wait_for_selector(".message.assistant .versions span >> text=2 of 2")
    with database.reading() as session:
        assert [each.choice for each in session.scalars(select(ResponseComparison))] == ["right"]
