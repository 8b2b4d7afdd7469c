"""The labeling pages in Chromium: a round ranked by keyboard and by drag and drop, up to the next policy."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser
from sqlalchemy import select

from alignloop.core.models import new_policy, save_policy
from alignloop.core.tokens import train_tokenizer
from alignloop.data import record_files
from alignloop.errors import Waiting
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.schema import Assignment, Submission
from alignloop.params import Params
from alignloop.params.binding import bind
from alignloop.records import Demonstration, Document, Message, Ranking
from alignloop.stages.label import label
from alignloop.stages.ppo import ppo
from alignloop.stages.reward import reward
from alignloop.stages.sample import sample
from alignloop.training.checkpoints import Checkpoint
from alignloop.web.pipeline_trigger import PipelineTrigger
from tests.web.browser import assert_accessible, drag, needs_chromium, open_assignment, rate_all, sign_in
from tests.web.conftest import samples

pytestmark = needs_chromium


def prepare_round(params: Params) -> Params:
    """Write an untrained SFT model and the sets of a round to the working directory.

    Returns params of their size.
    """
    torch.set_num_threads(1)
    prompts = [each.prompt for each in samples(4)]
    messages = (Message(role="user", content="Hi"), Message(role="assistant", content="Rock."))
    texts = [message.content for prompt in prompts for message in prompt.messages] * 3
    tokenizer = train_tokenizer(texts, 320)
    save_policy(
        new_policy(tokenizer, layers=1, width=32, heads=2, context=128, seed=0), tokenizer, Path("models/sft")
    )
    record_files.write(Path("prompts/train.jsonl"), prompts[:3])
    record_files.write(Path("prompts/valid.jsonl"), prompts[3:])
    record_files.write(
        Path("corpus/train.jsonl"), [Document(id="d", text="The moon is made of rock.", source="s")]
    )
    record_files.write(
        Path("demonstrations/train.jsonl"),
        [Demonstration(id="d", messages=messages, user="u", labeler="labeler-x", source="s")],
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


def test_a_round_by_people_from_the_policys_responses_to_the_next_policy(
    chromium: Browser,
    database: LabelingDatabase,
    url: str,
    params: Params,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the policy responds; the next stage publishes the round and reports what is missing
    monkeypatch.chdir(tmp_path)
    params, sft = prepare_round(params), Path("models/sft")
    outs = Path("samples.jsonl"), Path("sample.json")
    list(bind(sample, params)("r1", sft, Path("prompts"), *outs, reward=Path("none")))
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

    # ada passes the quiz by keyboard alone
    ada = sign_in(chromium, database, url, "ada", qualified=None)
    assert_accessible(ada)
    ada.focus("text=Begin")
    with ada.expect_navigation():  # until the script has run: it reads the keys
        ada.keyboard.press("Enter")
    while "/item/" in ada.url:
        assignment, item = open_assignment(database, ada)
        for place in assignment.presented:
            ada.keyboard.press(str((item.known_ranks or [])[place]))
        with ada.expect_navigation():
            ada.keyboard.press("Control+Enter")
        ada.wait_for_load_state()
    assert "Passed: 100 % agreement" in ada.content()
    assert_accessible(ada)
    assert "<summary" in ada.content()

    # and ranks the whole round: A 2, B 1, C tied with A; one undo, one move
    ada.focus(".job.first a")
    with ada.expect_navigation():
        ada.keyboard.press("Enter")
    assert_accessible(ada)
    for number in range(4):
        rate_all(ada)
        if number == 0:
            assert_accessible(ada)
            assert ada.locator(".ranks input:checked").count() == 0
            ada.keyboard.press("Control+Enter")
            assert ada.locator("#rank").count() == 1  # nothing is sent while responses are unranked
            ada.keyboard.press("3")
            ada.keyboard.press("u")
            assert ada.locator(".ranks input:checked").count() == 0
            ada.keyboard.press("ArrowLeft")
        for key in ("2", "1", "3"):
            ada.keyboard.press(key)
        ada.keyboard.press("Shift+ArrowUp")
        assert ada.locator(".answer.tied").count() == 2
        with ada.expect_navigation():
            ada.keyboard.press("Enter" if number else "Control+Enter")
        ada.wait_for_load_state()
        if number < 3:
            assert "B › A = C" in ada.locator(".note").inner_text()
    with database.reading() as session:
        ranked = session.scalars(
            select(Submission).where(Submission.labeler == "labeler-ada", Submission.ratings != [])
        ).all()
        shown = {assignment.id: assignment.presented for assignment in session.scalars(select(Assignment))}
    assert [
        [submission.ranks[place] for place in shown[submission.assignment]]
        for submission in ranked
        if submission.ranks
    ] == [[2, 1, 2]] * 4
    assert all(0 < (submission.active_seconds or 0) < 60 for submission in ranked)
    assert all(
        rating == {"overall": 5, "hallucination": 1} for submission in ranked for rating in submission.ratings
    )

    # she reads her last ranking and changes it: C alone at the end
    ada.goto(f"{url}/mine")
    ada.focus("table a")
    with ada.expect_navigation():
        ada.keyboard.press("Enter")
    assert_accessible(ada)
    ada.focus("text=Reopen")
    with ada.expect_navigation():
        ada.keyboard.press("Enter")
    assert ada.locator(".answer.tied").count() == 2
    for key in ("ArrowRight", "ArrowRight", "3"):
        ada.keyboard.press(key)
    with ada.expect_navigation():
        ada.keyboard.press("Enter")
    assert "Saved: B › A › C" in ada.locator(".note").inner_text()

    # bob ranks by drag and drop: C first, A and B tied behind it; his draft survives a reload
    bob = sign_in(chromium, database, url, "bob")
    bob.goto(f"{url}/work/rank")
    for number in range(4):
        rate_all(bob)
        for letter, rank in (("C", 1), ("A", 2), ("B", 2)):
            drag(bob, letter, rank)
        bob.wait_for_selector(".go:enabled")
        if number == 0:
            until = time.monotonic() + 30
            while (
                open_assignment(database, bob)[0].draft.get("ranks") != {"A": 2, "B": 2, "C": 1}
                and time.monotonic() < until
            ):
                bob.wait_for_timeout(50)
            bob.reload()
            bob.wait_for_selector(".go:enabled")
        with bob.expect_navigation():
            bob.click(".go")
    with database.reading() as session:
        given = session.scalars(select(Submission).where(Submission.labeler == "labeler-bob")).all()
        shown = {assignment.id: assignment.presented for assignment in session.scalars(select(Assignment))}
    assert [
        [submission.ranks[place] for place in shown[submission.assignment]]
        for submission in given
        if submission.ranks
    ] == [[2, 2, 1]] * 4

    # the administrator sees their agreement
    boss = sign_in(chromium, database, url, "boss", role="admin")
    boss.goto(f"{url}/admin")
    assert_accessible(boss)
    assert "8 of 8 · 0 missing · α" in boss.content()
    assert boss.locator("tr", has_text="labeler-ada").locator("td").nth(0).inner_text() == "100 % ✓"

    # the pipeline is started, and the reward model is trained on the rankings
    trigger = PipelineTrigger(database, "touch continued", tmp_path / "log")
    assert trigger.start_if_ready()
    assert not PipelineTrigger(database, "touch twice", tmp_path / "log").start_if_ready()
    assert trigger._running
    assert trigger._running.wait() == 0
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
            sft=sft,
            start=sft,
            rankings=Path("rankings"),
            demonstrations=Path("demonstrations"),
            out=model,
            metrics=Path("reward.json"),
            plots=Path("reward.csv"),
        )
    )
    assert '"rankings": 6' in Path("reward.json").read_text()
    rest = (Path("prompts"), Path("corpus"), policy, Path("rollouts"), Path("ppo.json"), Path("ppo.csv"))
    list(bind(ppo, params)(Checkpoint.fresh(tmp_path, "ppo"), "r1", sft, model, sft, *rest))
    assert (policy / "model.safetensors").read_bytes() != (sft / "model.safetensors").read_bytes()
