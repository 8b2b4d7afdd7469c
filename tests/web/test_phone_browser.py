"""The labeling pages in Chromium at the width of a phone."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from playwright.sync_api import Browser

from alignloop.labeling import rounds
from alignloop.labeling.database import LabelingDatabase
from alignloop.records import Samples
from tests.web.browser import assert_accessible, needs_chromium, rate_all, sign_in
from tests.web.conftest import samples

pytestmark = needs_chromium
Served = Callable[..., AbstractContextManager[str]]


def test_the_pages_fit_a_phone_and_are_accessible_there(
    chromium: Browser, database: LabelingDatabase, url: str
) -> None:
    rounds.publish(database, "r1", wide(), overlap=1, enough=1.0, deadline_hours=None)
    eve = sign_in(chromium, database, url, "eve", role="admin")
    eve.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/work/rank", "/work/converse", "/guidelines", "/mine", "/admin", "/admin/audit"):
        eve.goto(url + path)
        assert eve.evaluate("document.documentElement.scrollWidth") <= 390, path
        if path in ("/work/converse", "/guidelines", "/mine", "/admin/audit"):
            assert_accessible(eve)
    eve.goto(f"{url}/work/rank")
    rate_all(eve)
    assert eve.evaluate("document.documentElement.scrollWidth") <= 390
    assert (
        eve.locator("[dir=auto]:has-text('العدد')").evaluate("(node) => getComputedStyle(node).direction")
        == "rtl"
    )
    assert_accessible(eve)


@pytest.mark.parametrize("width", [390, 1440])
def test_two_programs_that_differ_at_the_end_of_a_line_can_be_told_apart_without_scrolling(
    chromium: Browser, database: LabelingDatabase, served_with: Served, width: int
) -> None:
    def program(rest: int) -> str:
        line = f"return [number for number in numbers if isinstance(number, int) and number % 2 == {rest}]"
        return f"```python\ndef evens(numbers):\n    {line}\n```"

    texts = [program(0), program(1), "x = " + "1" * 300, *(f"```\n{'wide' * n}\n```" for n in (60, 61, 62))]
    rounds.publish(database, "r1", samples(1, *texts), overlap=1, enough=1.0, deadline_hours=None)
    with served_with(ratings=[]) as url:
        eve = sign_in(chromium, database, url, "eve")
        eve.set_viewport_size({"width": width, "height": 844})
        eve.goto(f"{url}/work/rank")
        overflow = "(nodes) => nodes.map((node) => node.scrollWidth - node.clientWidth)"
        for part in ("pre", ".answer .body", "html"):
            assert set(eve.locator(part).evaluate_all(overflow)) == {0}, part
        inside = (
            "(node) => { const range = document.createRange(); range.selectNodeContents(node); "
            "const right = (it) => it.getBoundingClientRect().right; "
            "return right(range) <= right(node.closest('.answer')) }"
        )
        for code in eve.locator("pre code").all():
            assert code.evaluate(inside)


def wide() -> list[Samples]:
    """One item whose responses are wider than the screen or of other scripts."""
    code = "```python\n" + "x = " + " + ".join(["one"] * 60) + "\n```"
    table = "|" + " a |" * 12 + "\n|" + "---|" * 12 + "\n|" + " 1000000 |" * 12
    return samples(1, code, table, "أنظر إلى العدد الأوسط", "W" * 400, "二分查找" * 40, "", "g", "h", "i")
