"""The operators' page in Chromium, by keyboard, at 1280 and at 390 px, and /metrics beside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from alignloop.labeling import api_keys
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.feedback_schema import ServedOpinion
from alignloop.rules.rule import Rule
from alignloop.rules.rule_set import RuleSet
from alignloop.tracking import registry
from tests.web.browser import needs_chromium, sign_in
from tests.web.chat_server import CHAMPION, ChatServer, client_of, served_chat
from tests.web.test_chat_browser import send
from tests.web.test_chat_feedback_browser import look, press
from tests.web.test_metrics_routes import numbers

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = needs_chromium
FIRST, SECOND = "alignloop-policy/1", "alignloop-policy/2"
RULE = {"keywords": ["pepper"], "checks": "prompt", "action": "ask_person"}


@pytest.fixture
def server(policies: Path, database: LabelingDatabase) -> Iterator[ChatServer]:
    registry.set_alias(policies, "previous", registry.find(policies, SECOND))
    rules = RuleSet({"pepper": Rule.model_validate(RULE)})
    with served_chat(policies, database, rules) as server:
        yield server
    registry.delete_alias(policies, "previous", "alignloop-policy")


def say(database: LabelingDatabase, model: str, up: int, down: int) -> None:
    with database.writing() as session:
        for value in [1.0] * up + [0.0] * down:
            about = {"message": None, "kind": "thumb", "model": model, "other": "", "asked": CHAMPION}
            session.add(ServedOpinion(**about, value=value, is_first=True, time=0.0))


def test_operators_see_what_is_served_and_what_people_think_of_it(
    chromium: "Browser", server: ChatServer, database: LabelingDatabase
) -> None:
    ada = sign_in(chromium, database, server.url, "ada")
    assert "Watching" not in ada.inner_text("body")
    send(ada, "Is the sea full of salt?")
    press(ada, "[data-thumb=down]")
    ada.wait_for_selector("[data-thumb=down][aria-pressed=true]")
    send(ada, "And of pepper?")
    assert ada.goto(f"{server.url}/watch").status == 403  # type: ignore[union-attr]
    client = client_of(server, api_keys.create(database, "app", api_keys.SCOPES, None, None))
    for seed in range(5):
        client.completions.create(model=CHAMPION, prompt="The sea", max_tokens=20, seed=seed)
    assert httpx.get(f"{server.url}/watch", trust_env=False).headers["Location"] == "/sign-in"

    rita = sign_in(chromium, database, server.url, "rita", "reviewer")
    rita.click("text=Watching")
    shown = rita.inner_text("main")
    assert "No alarm: 1 of 1 person (1.000 [" in shown
    assert "1 prompt waits for a person now; 1 came in this time" in shown
    assert "pepper\tprompt\task_person\t1" in shown
    assert "thumbs\t1\t50.0" in shown
    assert "Not measured yet: python -m alignloop watch drift." in shown
    look(rita, "watch")
    rita.keyboard.press("Tab")
    press(rita, "text=Last 7 days")
    rita.wait_for_url("**/watch?days=7")
    assert rita.get_attribute("[aria-current=page]", "href") == "/watch?days=7"
    press(rita, "figure:has-text('Requests') summary")
    assert rita.locator("figure:has-text('Requests') tbody tr").count() == 28
    assert rita.goto(f"{server.url}/watch?days=2").status == 404  # type: ignore[union-attr]

    say(database, SECOND, 190, 10)
    say(database, FIRST, 10, 30)
    rita.goto(f"{server.url}/watch")
    assert "ALARM: alignloop-policy/1 @champion gets more thumbs down" in rita.inner_text("[role=alert]")
    assert "python -m alignloop rollback" in rita.inner_text("[role=alert]")
    look(rita, "watch-alarm")
    found = numbers(httpx.get(f"{server.url}/metrics", trust_env=False).text)
    assert found["alignloop_thumbs", FIRST, "down"] == 31
    assert found["alignloop_thumbs", SECOND, "up"] == 190
    assert found[("alignloop_thumbs_down_evidence",)] > found[("alignloop_thumbs_down_alarm_from",)] == 100
    assert found["alignloop_waiting_bucket", "0.0"] >= 6
