"""The chat page in Chromium: a conversation, its branches, search, settings, and what may not be executed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alignloop.labeling import conversations
from alignloop.labeling.database import LabelingDatabase
from tests.serving.conftest import Pacer
from tests.web.browser import assert_accessible, needs_chromium, sign_in
from tests.web.chat_server import CHAMPION, ChatServer, served_chat

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_chromium
SCRIPT = "<script>document.title='broken'</script><img src=x onerror=alert(1)>"
EVIL = f"# <b>Hi</b>\n\n{SCRIPT}\n\n[a](javascript:alert(1))\n\n"
CODE = "```python\nprint('<i>')\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"


@pytest.fixture
def server(policies: Path, database: LabelingDatabase) -> Iterator[ChatServer]:
    with served_chat(policies, database, guests="open") as server:
        yield server


def send(page: "Page", text: str) -> None:
    page.wait_for_load_state()  # the script reads the keys
    page.fill("#message", text)
    page.keyboard.press("Enter")
    page.wait_for_selector("body:not(.running) #send:visible")
    page.wait_for_load_state()
    page.wait_for_selector(".message.assistant:not(.live)")


def test_a_conversation_with_branches_search_and_settings(
    chromium: "Browser", server: ChatServer, database: LabelingDatabase
) -> None:
    page = sign_in(chromium, database, server.url, "ada")
    assert page.url == f"{server.url}/chat"
    assert page.inner_text("#model") == "alignloop-policy/1 @champion"
    assert_accessible(page)
    send(page, "Is the sea full of salt?")
    assert re.fullmatch(rf"{server.url}/chat/c/[\w-]+", page.url)
    assert page.inner_text("#title") == "Is the sea full of salt?"
    [first] = page.locator(".message.assistant .text").all_inner_texts()
    assert page.inner_text(".message.assistant .who") == "alignloop-policy/1 @champion"
    page.click("text=Regenerate")
    page.wait_for_selector("text=2 of 2")
    assert page.locator(".message.assistant .text").all_inner_texts() != [first]
    page.click("[aria-label='Earlier version']")
    page.wait_for_selector("text=1 of 2")
    assert page.locator(".message.assistant .text").all_inner_texts() == [first]
    page.click(".message.user >> text=Edit")
    page.fill("[aria-label='Edited message']", "Who painted the door?")
    page.click(".edit >> text=Send")
    page.wait_for_selector("body:not(.running) .message.user >> text=2 of 2")
    assert page.locator(".message.user .text").all_inner_texts() == ["Who painted the door?"]
    send(page, "And when?")
    assert len(page.locator(".message").all()) == 4
    page.reload()
    assert page.locator(".message.user .text").all_inner_texts() == ["Who painted the door?", "And when?"]
    assert_accessible(page)

    page.click("#settings-button")
    page.fill("[name=system]", "Be brief.")
    page.fill("[name=temperature]", "0")
    page.select_option("[name=model]", "alignloop-policy/2")
    with page.expect_navigation():
        page.click("#settings .go")
    assert page.inner_text("#model") == "alignloop-policy/2"
    with database.reading() as session:
        [kept] = conversations.listed(session, "labeler-ada")
    assert (kept.system, kept.sampling["temperature"], kept.model) == ("Be brief.", 0, "alignloop-policy/2")

    page.keyboard.press("Control+k")
    page.keyboard.type("nowhere")
    page.wait_for_selector("#list >> text=Nothing is found.")
    page.fill("#search", "PAINTED")
    page.wait_for_selector("#list >> text=Is the sea")
    page.once("dialog", lambda dialog: dialog.accept("Doors"))
    with page.expect_navigation():
        page.click("#rename")
    assert page.inner_text("#list .here") == "Doors"
    page.once("dialog", lambda dialog: dialog.accept())
    with page.expect_navigation():
        page.click("#delete")
    page.wait_for_selector("#list >> text=No conversations yet.")


def test_a_response_is_stopped_by_escape_and_what_was_written_is_kept(
    chromium: "Browser", server: ChatServer, database: LabelingDatabase
) -> None:
    from playwright.sync_api import expect

    page = sign_in(chromium, database, server.url, "ada")
    lease = server.pool.lease(CHAMPION)
    pacer = Pacer(lease.engine)
    page.fill("#message", "Is the sea full of salt?")
    page.keyboard.press("Enter")
    while lease.engine.load != (2, 0):
        pacer.step()
        page.wait_for_timeout(20)
    pacer.step(12)
    expect(page.locator(".live .text")).to_have_text(re.compile(".{3}", re.DOTALL))
    page.keyboard.press("Escape")
    page.wait_for_timeout(50)
    pacer.step(100)
    page.wait_for_selector("text=Stopped.")
    assert len(page.inner_text(".message.assistant .text")) > 2
    lease.end()


def test_what_models_and_people_write_is_never_executed(
    chromium: "Browser", server: ChatServer, database: LabelingDatabase
) -> None:
    page = sign_in(chromium, database, server.url, "eve")
    values = {"model": CHAMPION, "system": "", "sampling": {"temperature": 1.0, "top_p": 1.0}}
    id = conversations.create(database, "labeler-eve", EVIL, **values)
    asked = conversations.add_prompt(database, "labeler-eve", id, None, EVIL + "</template>" + CODE)
    more = {"model": "m/1", "state": "complete", "left_out": 4}
    conversations.add_response(database, "labeler-eve", id, parent=asked, content=EVIL + CODE, **more)
    page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    page.goto(f"{server.url}/chat/c/{id}")
    assert page.title().startswith("# <b>Hi</b>")
    assert page.locator("main script, main img, main b, main i, main a").count() == 0
    assert page.locator(".markdown pre code").inner_text().strip() == "print('<i>')"
    assert page.locator(".markdown td").all_inner_texts() == ["1", "2"]
    assert "did not get the first 4 messages" in page.inner_text("#thread")
    assert page.inner_text(".message.user .text").strip().endswith(CODE.strip())
    page.click("text=Copy >> nth=0")
    assert_accessible(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_guest_chats_on_a_phone(chromium: "Browser", server: ChatServer, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)  # pyright: ignore[reportArgumentType]
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the script raised {error}"))
    page.goto(server.url)
    page.click("text=Continue as a guest")
    send(page, "Is the sea full of salt?")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert_accessible(page)
    page.click("#open-side")
    assert page.inner_text("#list .here") == "Is the sea full of salt?"
    assert_accessible(page)
    page.keyboard.press("Escape")
    other = chromium.new_context().new_page()
    other.goto(page.url)  # of another browser
    assert "Continue as a guest" in other.content()
