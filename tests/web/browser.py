"""The labeling pages served on loopback, and what people do on them in Chromium."""

import asyncio
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from playwright.sync_api import Browser, Page

from alignloop.labeling import accounts
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.schema import Assignment, Item, Labeler
from alignloop.params import Params
from alignloop.web.app import create_app
from alignloop.web.settings import prepare_settings
from tests.web.conftest import PROJECT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed here (apt-get install chromium)"
)


@contextmanager
def served(database: LabelingDatabase, params: Params, root: Path) -> Iterator[str]:
    """The address of the pages of the project in `root` while the block runs."""
    shutil.copytree(PROJECT / "configs", root / "configs")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = f"http://127.0.0.1:{port}"
    plan = params.model_copy(update={"people": params.people.model_copy(update={"url": place})})
    app: FastAPI = create_app(database, prepare_settings(database, plan, root))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield place
    finally:
        server.should_exit = True
        thread.join()


def sign_in(
    browser: Browser,
    database: LabelingDatabase,
    url: str,
    name: str,
    role: accounts.Role = "labeler",
    qualified: bool | None = True,
) -> Page:
    """Invite a labeler and sign in by the invitation link."""
    secret = accounts.invite(database, f"labeler-{name}", role, "test")
    if qualified:
        with database.writing() as session:
            session.get_one(Labeler, f"labeler-{name}").qualified = True
    page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the script raised {error}"))
    page.goto(f"{url}/invitation/{secret}")
    page.keyboard.press("Tab")
    page.click("main .go")
    return page


def assert_accessible(page: Page) -> None:
    """No serious or critical accessibility violation that axe finds."""
    violations = Axe().run(page).response["violations"]
    grave = [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in violations
        if each["impact"] in ("serious", "critical")
    ]
    assert grave == [], page.url


def open_assignment(database: LabelingDatabase, page: Page) -> tuple[Assignment, Item]:
    """The assignment that the page shows, and its item."""
    with database.reading() as session:
        assignment = session.get_one(Assignment, int(page.url.rsplit("/", 1)[1].partition("?")[0]))
        return assignment, session.get_one(Item, assignment.item)


def rate_all(page: Page) -> None:
    """Rate every response of the item by keyboard."""
    while page.locator("#rate").count():
        page.keyboard.press("5")
        page.keyboard.press("h")
        with page.expect_navigation():
            page.keyboard.press("Enter")


def drag(page: Page, letter: str, rank: int) -> None:
    """Drag a response's letter with the mouse and drop it on a rank."""
    start = page.locator(f".chip:text-is('{letter}')").bounding_box()
    end = page.locator(f".lane[data-rank='{rank}'] ul").bounding_box()
    assert start
    assert end
    page.mouse.move(start["x"] + 9, start["y"] + 9)
    page.mouse.down()
    page.mouse.move(end["x"] + end["width"] - 12, end["y"] + 12, steps=6)
    page.wait_for_timeout(150)  # the script checks the position of the letter every 50 ms
    page.mouse.up()
    page.wait_for_selector(f".lane[data-rank='{rank}'] .chip:text-is('{letter}')", timeout=5000)
    page.wait_for_selector(
        f"input[name=rank-{letter}][value='{rank}']:checked", state="attached", timeout=5000
    )
