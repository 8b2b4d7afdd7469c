"""The keys of a page are distinct in every configuration, and each does its own thing alone."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import get_args

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page

from alignloop.labeling.database import LabelingDatabase
from alignloop.params import Params
from alignloop.params.people import Flag
from alignloop.web.rendering import HERE
from tests.web.browser import needs_chromium, sign_in
from tests.web.conftest import SignedInClient, publish

Served = Callable[..., AbstractContextManager[str]]
SCRIPTED = {"Enter", "Escape", "0", "Backspace"}  # keys of a page's script, which no element names
NINE = tuple(f"response {number}" for number in range(9))
STATE = """() => [...document.querySelectorAll("main input, main details")]
    .map((node) => node.matches("details") ? node.open : node.checked ?? false)"""


@pytest.fixture
def params(params: Params) -> Params:
    """With every statement asked of every response: that page has the most keys."""
    return params.model_copy(
        update={"people": params.people.model_copy(update={"ratings": ["overall", *get_args(Flag)]})}
    )


def hotkeys(html: str) -> list[str]:
    """The keys that the elements of a page name."""
    return [key for keys in re.findall(r'data-hotkey="([^"]*)"', html) for key in keys.split()]


def assert_distinct(keys: list[str]) -> None:
    assert len({*keys, *SCRIPTED}) == len(keys) + len(SCRIPTED), sorted(keys)


def test_the_keys_of_every_page_are_distinct_with_all_statements_and_nine_responses(
    app: FastAPI, database: LabelingDatabase
) -> None:
    publish(database, 1, *NINE)
    ada = SignedInClient(app, database, "ada")
    item = f"/item/{ada.work()}"
    page = ada.get(item).text
    keys = hotkeys(page)
    assert len(keys) == 7 + len(get_args(Flag)) + 1
    assert_distinct(keys)
    shown = set(re.findall(r"<kbd>(\w)</kbd>", page)) - {"1", "7"}
    assert shown == {key for key in keys if key.isalpha()}, "the page shows the keys that it reads"
    app.state.settings = replace(app.state.settings, ratings=[], flags=list(get_args(Flag)))
    outside, *cards = re.split(r'<article class="answer"', ada.get(item).text)
    *cards, last = cards
    last, _, rest = last.partition("</article>")
    for card in (*cards, last):
        assert_distinct([*hotkeys(outside + rest), *hotkeys(card)])
        assert hotkeys(card) == [*"123456789", "f"]


def test_the_keys_of_a_comparison_are_distinct() -> None:
    found = [hotkeys((HERE / "templates" / name).read_text()) for name in ("compare.html", "macros.html")]
    assert found[1] == ["s"]
    assert_distinct([*found[0], *found[1]])


@needs_chromium
def test_each_key_changes_one_control_and_every_other_key_none(
    chromium: Browser, database: LabelingDatabase, url: str
) -> None:
    publish(database, 1)
    ada = sign_in(chromium, database, url, "ada")
    ada.goto(f"{url}/work/rank")
    ada.wait_for_selector("#rate")
    keys = hotkeys(ada.content())
    for key in (*"abcdefghijklmnopqrtuvwxyz23456789", "s"):  # `s` opens a form that takes the keys
        changed = pressed(ada, key)
        assert changed == (key in keys), key


def pressed(page: Page, key: str) -> int:
    """The number of controls that a key changes; a radio button releases no other: none is set before."""
    page.evaluate("document.querySelectorAll('[name=overall]').forEach((node) => { node.checked = false; })")
    before = page.evaluate(STATE)
    page.keyboard.press(key)
    return sum(one != other for one, other in zip(before, page.evaluate(STATE), strict=True))


@needs_chromium
@pytest.mark.parametrize("submit_key", ["enter", "ctrl+enter"])
def test_the_configured_key_submits_a_complete_form_only(
    chromium: Browser,
    database: LabelingDatabase,
    served_with: Callable[..., AbstractContextManager[str]],
    submit_key: str,
) -> None:
    publish(database, 1)
    with served_with(ratings=["overall"], submit_key=submit_key) as url:
        ada = sign_in(chromium, database, url, "ada")
        ada.goto(f"{url}/work/rank")
        wrong, right = {"enter": ("x", "Enter"), "ctrl+enter": ("Enter", "Control+Enter")}[submit_key]
        for _ in range(3):
            ada.wait_for_selector("#rate")
            ada.keyboard.press("5")
            ada.keyboard.press(wrong)
            assert ada.locator("input[name=overall]:checked").count() == 1
            with ada.expect_navigation():
                ada.keyboard.press(right)
        ada.wait_for_selector("#rank")
        ada.keyboard.press("1")
        ada.keyboard.press(right)
        ada.keyboard.press("2")
        ada.keyboard.press("1")
        ada.keyboard.press(wrong)
        ada.wait_for_timeout(100)
        assert ada.locator("#rank").count() == 1, "nothing was sent"
        ada.focus("input[name=rank-A]:checked")  # where browsers send a form by themselves
        ada.keyboard.press(wrong)
        ada.wait_for_timeout(100)
        assert ada.locator("#rank").count() == 1, "nothing was sent"
        with ada.expect_navigation():
            ada.keyboard.press(right)
        assert "Hello" in ada.content()
        ada.goto(f"{url}/work/converse")
        ada.wait_for_selector("#write")
        ada.keyboard.type("one")
        ada.keyboard.press("Enter")
        ada.keyboard.type("two")
        assert ada.input_value("textarea[name=turn-0]") == "one\ntwo", "a text field keeps Enter"
