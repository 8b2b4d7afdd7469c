"""The results page in Chromium, from its file."""

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser

from alignloop.release.results_page import PAGE, write_page
from tests.release.result_files import make_rounds
from tests.web.browser import assert_accessible, needs_chromium


@needs_chromium
@pytest.mark.parametrize(
    ("width", "scheme", "paper"), [(1440, "light", "rgb(247, 246, 242)"), (390, "dark", "rgb(22, 25, 27)")]
)
def test_it_is_shown_from_its_file_at_any_width_in_light_and_dark_and_asks_for_nothing(
    project: Path, chromium: Browser, width: int, scheme: Literal["light", "dark"], paper: str
) -> None:
    write_page(make_rounds(project))
    page = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: asked.append(request.url[:5]))
    page.goto((project / PAGE).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width, "nothing is wider"
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == paper
    assert complaints == []
    assert set(asked) <= {"file:", "data:"}
    assert_accessible(page)
