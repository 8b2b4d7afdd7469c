"""The labeling pages in Debian's Chromium: a round from the policy's answers, ranked by keyboard and by drag, to the next policy."""

import asyncio
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import select

from alignloop.core.models import new_policy, save_policy
from alignloop.core.tokens import train_tokenizer
from alignloop.data import record_files
from alignloop.errors import Waiting
from alignloop.labeling import accounts, rounds
from alignloop.labeling.database import Store
from alignloop.labeling.schema import Answer, Assignment, Item, Labeler
from alignloop.params import Params
from alignloop.params.binding import bind
from alignloop.records import Demonstration, Document, Message, Ranking, Samples
from alignloop.stages.label import label
from alignloop.stages.ppo import ppo
from alignloop.stages.reward import reward
from alignloop.stages.sample import sample
from alignloop.training.checkpoints import Checkpoint
from alignloop.web.app import create_app
from alignloop.web.pipeline_trigger import Continuation
from alignloop.web.settings import prepare
from tests.web.conftest import PROJECT, samples

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed here (apt-get install chromium)"
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def url(store: Store, params: Params, tmp_path: Path) -> Iterator[str]:
    """The pages, served on a free port of the loopback."""
    with served(store, params, tmp_path) as place:
        yield place


@contextmanager
def served(store: Store, params: Params, root: Path) -> Iterator[str]:
    """The address of the pages of the project in `root` while the block runs."""
    shutil.copytree(PROJECT / "configs", root / "configs")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = f"http://127.0.0.1:{port}"
    plan = params.model_copy(update={"people": params.people.model_copy(update={"url": place})})
    app: FastAPI = create_app(store, prepare(store, plan, root))
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


def come_in(
    browser: Browser,
    store: Store,
    url: str,
    name: str,
    role: accounts.Role = "labeler",
    qualified: bool | None = True,
) -> Page:
    secret = accounts.invite(store, f"labeler-{name}", role, "test")
    if qualified:
        with store.writing() as session:
            session.get_one(Labeler, f"labeler-{name}").qualified = True
    page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the script raised {error}"))
    page.goto(f"{url}/invitation/{secret}")
    page.keyboard.press("Tab")
    page.click("text=Come in")
    return page


def accessible(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    grave = [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert grave == [], page.url


def in_hand(store: Store, page: Page) -> tuple[Assignment, Item]:
    with store.reading() as session:
        lent = session.get_one(Assignment, int(page.url.rsplit("/", 1)[1].partition("?")[0]))
        return lent, session.get_one(Item, lent.item)


def rate_all(page: Page) -> None:
    while page.locator("#rate").count():
        page.keyboard.press("5")
        page.keyboard.press("h")
        with page.expect_navigation():
            page.keyboard.press("Enter")


def drag(page: Page, letter: str, rank: int) -> None:
    """Take an answer's letter with the mouse and drop it on a rank."""
    start = page.locator(f".chip:text-is('{letter}')").bounding_box()
    end = page.locator(f".lane[data-rank='{rank}'] ul").bounding_box()
    assert start
    assert end
    page.mouse.move(start["x"] + 9, start["y"] + 9)
    page.mouse.down()
    page.mouse.move(end["x"] + end["width"] - 12, end["y"] + 12, steps=6)
    page.wait_for_timeout(150)  # the script looks where the letter is every 50 ms
    page.mouse.up()
    page.wait_for_selector(f".lane[data-rank='{rank}'] .chip:text-is('{letter}')", timeout=5000)
    page.wait_for_selector(
        f"input[name=rank-{letter}][value='{rank}']:checked", state="attached", timeout=5000
    )


def begin(params: Params) -> Params:
    """Make an SFT model that has learned nothing, and the sets of a round; in the working directory. Returns params of their size."""
    torch.set_num_threads(1)
    asked = [each.prompt for each in samples(4)]
    said = (Message(role="user", content="Hi"), Message(role="assistant", content="Rock."))
    texts = [message.content for prompt in asked for message in prompt.messages] * 3
    tokenizer = train_tokenizer(texts, 320)
    save_policy(
        new_policy(tokenizer, layers=1, width=32, heads=2, context=128, seed=0), tokenizer, Path("models/sft")
    )
    record_files.write(Path("prompts/train.jsonl"), asked[:3])
    record_files.write(Path("prompts/valid.jsonl"), asked[3:])
    record_files.write(
        Path("corpus/train.jsonl"), [Document(id="d", text="The moon is made of rock.", source="s")]
    )
    record_files.write(
        Path("demonstrations/train.jsonl"),
        [Demonstration(id="d", messages=said, user="u", labeler="labeler-x", source="s")],
    )
    Path("earlier").mkdir()
    sizes: dict[str, dict[str, Any]] = {
        "label": {"kind": "people", "overlap": 2},
        "sample": {"prompts": 3, "valid_prompts": 1, "responses_per_prompt": 3},
        "decoding": {"max_new_tokens": 8},
        "ppo": {
            "steps": 2,
            "prompts_per_step": 3,
            "minibatches": 1,
            "warmup_steps": 0,
            "value_warmup_steps": 0,
            "ptx_documents_per_step": 1,
        },
    }
    return params.model_copy(
        update={name: getattr(params, name).model_copy(update=size) for name, size in sizes.items()}
    )


def test_a_round_by_people_from_the_policys_answers_ranked_by_keyboard_and_by_drag_to_the_next_policy(
    chromium: Browser, store: Store, url: str, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the policy answers; the next stage publishes the round and says what is missing
    monkeypatch.chdir(tmp_path)
    params, sft = begin(params), Path("models/sft")
    list(bind(sample, params)("r1", sft, Path("prompts"), Path("samples.jsonl"), Path("sample.json")))
    stage = (
        "r1",
        Path("samples.jsonl"),
        Path("earlier"),
        Path("rankings"),
        Path("label.json"),
        Path("labels.md"),
    )
    with pytest.raises(Waiting, match=r"8 of 8 rankings are missing; they rank at http://127\.0\.0\.1:4300"):
        list(bind(label, params)(*stage))

    # ada qualifies, by the keyboard alone
    ada = come_in(chromium, store, url, "ada", qualified=None)
    accessible(ada)
    ada.focus("text=Begin")
    ada.keyboard.press("Enter")
    ada.wait_for_selector("#rank")
    while "/item/" in ada.url:
        lent, item = in_hand(store, ada)
        for place in lent.presented:
            ada.keyboard.press(str((item.known or [])[place]))
        with ada.expect_navigation():
            ada.keyboard.press("Control+Enter")
        ada.wait_for_load_state()
    assert "100 % agreement" in ada.content()

    # and ranks the whole round: A 2, B 1, C ties with A; undone once, moved once
    ada.focus(".job.first a")
    ada.keyboard.press("Enter")
    ada.wait_for_selector("#rate")
    accessible(ada)
    for number in range(4):
        rate_all(ada)
        if number == 0:
            accessible(ada)
            assert ada.locator(".ranks input:checked").count() == 0
            ada.keyboard.press("Control+Enter")
            assert ada.locator("#rank").count() == 1  # nothing is sent while answers are unranked
            ada.keyboard.press("3")
            ada.keyboard.press("u")
            assert ada.locator(".ranks input:checked").count() == 0
            ada.keyboard.press("ArrowLeft")
        for key in ("2", "1", "3"):
            ada.keyboard.press(key)
        ada.keyboard.press("Shift+ArrowUp")
        assert ada.locator(".answer.tied").count() == 2
        with ada.expect_navigation():
            ada.keyboard.press("Control+Enter")
        ada.wait_for_load_state()
        if number < 3:
            assert "B › A = C" in ada.locator(".note").inner_text()
    with store.reading() as session:
        made = session.scalars(
            select(Answer).where(Answer.labeler == "labeler-ada", Answer.ratings != [])
        ).all()
        shown = {lent.id: lent.presented for lent in session.scalars(select(Assignment))}
    assert [
        [answer.ranks[place] for place in shown[answer.assignment]] for answer in made if answer.ranks
    ] == [[2, 1, 2]] * 4
    assert all(0 < (answer.active_seconds or 0) < 60 for answer in made)
    assert all(rating == {"overall": 5, "hallucination": 1} for answer in made for rating in answer.ratings)

    # bob ranks by drag: C first, A and B tie behind it; his draft survives a closed browser
    bob = come_in(chromium, store, url, "bob")
    bob.goto(f"{url}/work/rank")
    for number in range(4):
        rate_all(bob)
        for letter, rank in (("C", 1), ("A", 2), ("B", 2)):
            drag(bob, letter, rank)
        bob.wait_for_selector(".go:enabled")
        if number == 0:
            until = time.monotonic() + 30
            while (
                in_hand(store, bob)[0].draft.get("ranks") != {"A": 2, "B": 2, "C": 1}
                and time.monotonic() < until
            ):
                bob.wait_for_timeout(50)
            bob.reload()
            bob.wait_for_selector(".go:enabled")
        with bob.expect_navigation():
            bob.click(".go")
    with store.reading() as session:
        given = session.scalars(select(Answer).where(Answer.labeler == "labeler-bob")).all()
        shown = {lent.id: lent.presented for lent in session.scalars(select(Assignment))}
    assert [
        [answer.ranks[place] for place in shown[answer.assignment]] for answer in given if answer.ranks
    ] == [[2, 2, 1]] * 4

    # the administrator sees how they agree
    boss = come_in(chromium, store, url, "boss", role="admin")
    boss.goto(f"{url}/admin")
    accessible(boss)
    assert "8 of 8 · 0 missing · α" in boss.content()
    assert boss.locator("tr", has_text="labeler-ada").locator("td").nth(0).inner_text() == "100 % ✓"

    # the loop goes on by itself, and the reward model learns from what they said
    continuation = Continuation(store, "touch continued", tmp_path / "log")
    assert continuation.look()
    assert not Continuation(store, "touch twice", tmp_path / "log").look()
    assert continuation._running
    assert continuation._running.wait() == 0
    assert (tmp_path / "continued").exists()
    list(bind(label, params)(*stage))
    found = record_files.read(Path("rankings/r1.jsonl"), Ranking)
    assert {(ranking.labeler, ranking.kind) for ranking in found} == {
        ("labeler-ada", "person"),
        ("labeler-bob", "person"),
    }
    assert len(found) == 8
    model, policy = Path("models/r1/reward"), Path("models/r1/policy")
    list(
        bind(reward, params)(
            Checkpoint.fresh(tmp_path, "reward"),
            "r1",
            sft,
            sft,
            Path("rankings"),
            Path("demonstrations"),
            model,
            Path("reward.json"),
            Path("reward.csv"),
        )
    )
    assert '"rankings": 6' in Path("reward.json").read_text()
    rest = (Path("prompts"), Path("corpus"), policy, Path("rollouts"), Path("ppo.json"), Path("ppo.csv"))
    list(bind(ppo, params)(Checkpoint.fresh(tmp_path, "ppo"), "r1", sft, model, sft, *rest))
    assert (policy / "model.safetensors").read_bytes() != (sft / "model.safetensors").read_bytes()


def test_the_pages_fit_a_telephone_and_are_accessible_there(
    chromium: Browser, store: Store, url: str
) -> None:
    rounds.publish(store, "r1", wide(), 1, 1.0, None)
    eve = come_in(chromium, store, url, "eve", role="admin")
    eve.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/work/rank", "/work/converse", "/guidelines", "/mine", "/admin", "/admin/audit"):
        eve.goto(url + path)
        assert eve.evaluate("document.documentElement.scrollWidth") <= 390, path
        if path in ("/work/converse", "/mine", "/admin/audit"):
            accessible(eve)
    eve.goto(f"{url}/work/rank")
    rate_all(eve)
    assert eve.evaluate("document.documentElement.scrollWidth") <= 390
    assert (
        eve.locator("[dir=auto]:has-text('العدد')").evaluate("(node) => getComputedStyle(node).direction")
        == "rtl"
    )
    accessible(eve)


def wide() -> list[Samples]:
    code = "```python\n" + "x = " + " + ".join(["one"] * 60) + "\n```"
    table = "|" + " a |" * 12 + "\n|" + "---|" * 12 + "\n|" + " 1000000 |" * 12
    return samples(1, code, table, "أنظر إلى العدد الأوسط", "W" * 400, "二分查找" * 40, "", "g", "h", "i")
