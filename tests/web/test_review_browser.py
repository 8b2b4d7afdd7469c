"""The reviewers' page in Chromium: a review by keyboard alone, and the decision on a page."""

from pathlib import Path

from playwright.sync_api import Browser

from alignloop.labeling.database import LabelingDatabase
from alignloop.params import Params
from alignloop.release import champion
from alignloop.tracking import registry
from tests.web.browser import assert_accessible, needs_chromium, served, sign_in
from tests.web.candidates import NAME, publish_review

pytestmark = needs_chromium


def test_a_reviewer_compares_by_keyboard_and_an_administrator_decides(
    chromium: Browser,
    database: LabelingDatabase,
    params: Params,
    project: Path,
) -> None:
    publish_review(project, database, count=3, votes=1)
    with served(database, params, project) as url:
        ada = sign_in(chromium, database, url, "ada", role="reviewer")
        ada.focus(".job.first a")
        ada.keyboard.press("Enter")
        ada.wait_for_url("**/review")
        assert_accessible(ada)
        ada.focus(".job.first a")
        with ada.expect_navigation():  # until the script has run: it reads the keys
            ada.keyboard.press("Enter")
        for number, (key, value) in enumerate(
            (("ArrowLeft", "A"), ("ArrowDown", "same"), ("ArrowRight", "B"))
        ):
            ada.wait_for_selector("#compare")
            if number == 0:
                assert_accessible(ada)
                ada.keyboard.press("Enter")
                assert ada.locator("#compare").count() == 1, "nothing is sent without a choice"
                ada.set_viewport_size({"width": 390, "height": 844})
                assert ada.evaluate("document.documentElement.scrollWidth") <= 390
                ada.set_viewport_size({"width": 1280, "height": 860})
            ada.keyboard.press(key)
            assert ada.locator("input[name=better]:checked").get_attribute("value") == value
            with ada.expect_navigation():
                ada.keyboard.press("Enter")
            ada.wait_for_load_state()
        assert "No pair waits for your vote" in ada.content()
        assert "3 votes of 1 reviewer" in registry.find(project, f"{NAME}@candidate").tags["wins_people"]

        boss = sign_in(chromium, database, url, "boss", role="admin")
        boss.goto(f"{url}/review")
        assert_accessible(boss)
        boss.fill("input[name=reason]", "worse at the moon")
        boss.keyboard.press("Enter")
        assert boss.locator("#decide").count() == 1, "nothing is decided without a choice"
        boss.focus("input[value=approve]")
        boss.keyboard.press("ArrowDown")
        boss.set_viewport_size({"width": 390, "height": 844})
        assert boss.evaluate("document.documentElement.scrollWidth") <= 390
        boss.keyboard.press("Tab")
        with boss.expect_navigation():
            boss.keyboard.press("Enter")
        assert "worse at the moon" in boss.locator(".decision").inner_text()
        assert_accessible(boss)
        entry = champion.verify(project, NAME)[-1]
        assert (entry.who, entry.action, entry.reason) == ("labeler-boss", "reject", "worse at the moon")
        assert registry.find(project, f"{NAME}@champion").version == 1
