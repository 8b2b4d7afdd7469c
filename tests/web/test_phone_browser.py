"""The labeling pages in Chromium at the width of a phone."""

from playwright.sync_api import Browser

from alignloop.labeling import rounds
from alignloop.labeling.database import LabelingDatabase
from alignloop.records import Samples
from tests.web.browser import assert_accessible, needs_chromium, rate_all, sign_in
from tests.web.conftest import samples

pytestmark = needs_chromium


def test_the_pages_fit_a_phone_and_are_accessible_there(
    chromium: Browser, database: LabelingDatabase, url: str
) -> None:
    rounds.publish(database, "r1", wide(), overlap=1, enough=1.0, deadline_hours=None)
    eve = sign_in(chromium, database, url, "eve", role="admin")
    eve.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/work/rank", "/work/converse", "/guidelines", "/mine", "/admin", "/admin/audit"):
        eve.goto(url + path)
        assert eve.evaluate("document.documentElement.scrollWidth") <= 390, path
        if path in ("/work/converse", "/mine", "/admin/audit"):
            assert_accessible(eve)
    eve.goto(f"{url}/work/rank")
    rate_all(eve)
    assert eve.evaluate("document.documentElement.scrollWidth") <= 390
    assert (
        eve.locator("[dir=auto]:has-text('العدد')").evaluate("(node) => getComputedStyle(node).direction")
        == "rtl"
    )
    assert_accessible(eve)


def wide() -> list[Samples]:
    """One item whose responses are wider than the screen or of other scripts."""
    code = "```python\n" + "x = " + " + ".join(["one"] * 60) + "\n```"
    table = "|" + " a |" * 12 + "\n|" + "---|" * 12 + "\n|" + " 1000000 |" * 12
    return samples(1, code, table, "أنظر إلى العدد الأوسط", "W" * 400, "二分查找" * 40, "", "g", "h", "i")
