"""Responses that call tools on the chat page and in the API, from a policy that does so by heart."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alignloop.labeling import api_keys, chat_records, stored_responses
from alignloop.labeling.serving_schema import ChatMessage
from alignloop.records import Demonstration
from alignloop.web.prompt_room import fitted
from tests.web.browser import assert_accessible, needs_chromium, sign_in
from tests.web.chat_server import ChatServer, client_of, served_chat
from tests.web.test_chat_browser import send
from tests.web.test_chat_feedback import decide
from tests.web.test_chat_routes import signed_in
from tests.web.tool_policy import (
    FLOOD,
    HANG,
    IMAGE,
    LONG,
    MANY,
    MILL,
    NAME,
    OFF,
    SCRIPT,
    InMemory,
    learn_by_heart,
    make_tools,
    plan,
)
from tests.web.tool_server import SHOWN, ask, blocking, certain, chat, served_alone, stored

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> InMemory:
    return learn_by_heart(make_tools(tmp_path_factory.mktemp("tools") / "project"))


@pytest.fixture(scope="module")
def server(source: InMemory) -> Iterator[ChatServer]:
    with served_alone(source) as server:
        yield server


@pytest.fixture(scope="module")
def key(server: ChatServer) -> str:
    return api_keys.create(server.database, "all", api_keys.SCOPES, None, None)


def test_a_search_is_told_while_it_is_made_and_its_response_is_shown_and_reopened_with_sources(
    server: ChatServer,
) -> None:
    with signed_in(server, "ada") as ada:
        id, events = ask(ada, MILL.asked)
        assert events[0] == {
            "call": {"tool": "search", "asked": "mill built", "outcome": None, "problem": ""}
        }
        assert events[1]["call"]["outcome"] == "answered"
        assert "".join(event.get("text", "") for event in events) == SHOWN
        thread = ada.get(f"/chat/c/{id}/thread").text
    message = stored(server, "labeler-ada", id)
    assert message.content == MILL.said  # with the numbers of passages
    call, answer, last = message.steps
    assert (call.by, answer.by, last.by, last.text) == ("policy", "tool", "policy", MILL.said)
    assert json.loads(call.text.split("\n")[1])["arguments"] == {"query": "mill built"}
    assert answer.text.startswith(f"[2] The mill {IMAGE} | mill.md | CC-BY-4.0\n")
    assert min(turn.tokens for turn in message.steps) > 5
    assert "<b>search</b>: mill built" in thread
    assert "In 1820 [1]. So it is [?]." in thread
    for evil in (IMAGE, SCRIPT):
        assert evil not in thread
        assert evil.replace("<", "&lt;").replace(">", "&gt;") in thread
    assert "CC-BY-4.0" in thread
    assert "[2]" not in thread


def test_disabled_browsing_is_obeyed_and_a_prompt_without_room_for_answers_is_offered_no_tools(
    server: ChatServer, key: str
) -> None:
    client = client_of(server, key)
    with signed_in(server, "bea") as bea:
        id, events = ask(bea, OFF.asked, OFF.system)
        assert "".join(event.get("text", "") for event in events) == OFF.said
        assert stored(server, "labeler-bea", id).turns is None
        for words, has_tools in (("", True), ("the hill " * 60, False)):
            id, _ = ask(bea, words + MILL.asked)
            assert bool(stored(server, "labeler-bea", id).turns) is has_tools
    said = {"model": NAME, "temperature": 0, "messages": [{"role": "user", "content": MILL.asked}]}
    assert client.chat.completions.create(**said, tool_choice="none", max_tokens=9).usage.prompt_tokens < 30


def test_the_oldest_messages_make_room_for_what_tools_answer(server: ChatServer) -> None:
    lease = server.pool.lease(NAME)
    engine, said = lease.engine, ("Hello?", "Hello to you, and to all.") * 40
    turns = [
        {"role": role, "content": text} for role, text in zip(("user", "assistant") * 40, said, strict=True)
    ][:-1]
    with_tools, without = (fitted(engine, turns, 100, may_call=may_call) for may_call in (True, False))
    lease.end()
    assert engine.tools
    assert with_tools.may_call
    assert with_tools.left_out > without.left_out > 0
    assert with_tools.prompt == engine.tools.offered(turns[with_tools.left_out :])
    room = 100 + engine.tools.answer_tokens
    assert len(with_tools.prompt) + room <= engine.context
    assert len(engine.tools.offered(turns[with_tools.left_out - 2 :]) or ()) + room > engine.context
    assert without.prompt == engine.encode_dialogue(turns[without.left_out :])


def test_a_tool_that_hangs_or_floods_gives_one_message_and_the_response_goes_on(server: ChatServer) -> None:
    with signed_in(server, "cat") as cat:
        for asked, outcome, problem in (
            (HANG, "timed_out", "odd gave no result within 1 s"),
            (FLOOD, "flooded", "odd printed more than 1,000,000 characters"),
        ):
            id, events = ask(cat, asked.asked)
            told = [event["call"] for event in events if "call" in event]
            assert [(each["outcome"], each["problem"]) for each in told] == [(None, ""), (outcome, problem)]
            assert "".join(event.get("text", "") for event in events) == asked.said
            assert events[-1]["state"] == "complete"
            assert problem in cat.get(f"/chat/c/{id}/thread").text


def test_one_call_too_many_is_answered_by_nobody(server: ChatServer) -> None:
    with signed_in(server, "dan") as dan:
        id, events = ask(dan, MANY.asked)
    assert sum("call" in event for event in events) == 2 * 2  # made and answered, twice
    message = stored(server, "labeler-dan", id)
    assert message.state == "cut"
    assert [turn.by for turn in message.steps] == ["policy", "tool", "policy", "tool", "policy"]
    assert [turn.text for turn in message.steps if turn.by == "tool"] == ["1", "2"]
    assert '"how": "3"' in message.content


def test_streams_of_others_go_on_while_a_tool_hangs_and_a_stop_ends_its_response_at_once(
    server: ChatServer, source: InMemory, key: str
) -> None:
    patient = plan(timeout_s=12.0)
    with (
        served_chat(server.root, server.database, source=source, tools=patient) as slow,
        signed_in(slow, "eve") as eve,
    ):
        body = {"content": HANG.asked, "settings": {"model": NAME, "temperature": 0}}
        began = time.monotonic()
        with eve.stream("POST", "/chat/prompts", json=body) as reply:
            id, lines = reply.headers["X-Conversation"], reply.iter_lines()
            assert '"outcome":null' in next(lines)
            whole = chat(client_of(slow, key), LONG.asked, stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in whole) == LONG.said
            assert chat(client_of(slow, key), MILL.asked).choices[0].message.content == SHOWN
            eve.post(f"/chat/c/{id}", json={"act": "stop"})
            events = [json.loads(line[6:]) for line in lines if line]
        assert time.monotonic() - began < 12
        assert [event.get("state") for event in events] == ["stopped"]
    message = stored(server, "labeler-eve", id)
    assert (message.content, message.state, [turn.by for turn in message.steps]) == (
        "",
        "stopped",
        ["policy"],
    )


def test_the_official_client_gets_the_final_text_with_its_sources_whole_and_in_chunks(
    server: ChatServer, key: str
) -> None:
    client = client_of(server, key)
    whole = chat(client, MILL.asked, logprobs=True)
    message = whole.choices[0].message
    assert (message.content, whole.choices[0].finish_reason) == (SHOWN, "stop")
    [annotation] = message.annotations
    found = annotation.url_citation
    assert SHOWN[found.start_index : found.end_index] == "[1]"
    assert (annotation.type, found.title, found.url) == ("url_citation", f"The mill {IMAGE}", "mill.md")
    assert message.sources == [
        {
            "number": 1,
            "title": f"The mill {IMAGE}",
            "document": "mill.md",
            "licence": "CC-BY-4.0",
            "text": f"The mill was built in 1820. {SCRIPT}",
        }
    ]
    said = "".join(each.token for each in whole.choices[0].logprobs.content)
    assert said == MILL.said  # of the last turn alone, as it was drawn
    chunks = list(chat(client, MILL.asked, stream=True, stream_options={"include_usage": True}))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == SHOWN
    assert deltas[-1].annotations == [annotation.model_dump()]
    assert deltas[-1].sources == message.sources
    assert chunks[-1].usage == whole.usage
    two = chat(client, MILL.asked, n=2)
    assert [choice.message.content for choice in two.choices] == [SHOWN] * 2
    assert two.usage.completion_tokens == 2 * whole.usage.completion_tokens
    plain = chat(client, LONG.asked).choices[0].message
    assert plain.content == LONG.said
    assert not hasattr(plain, "sources")


def test_the_tokens_are_those_that_sft_learns(server: ChatServer, source: InMemory, key: str) -> None:
    stored = chat(client_of(server, key), MILL.asked, store=True)
    with server.database.reading() as session:
        message = session.get_one(ChatMessage, stored_responses.find(session, "key-all", stored.id, 0))
        row = source.rows[0]
        own = [turn.tokens for turn in message.steps if turn.by == "policy"]
        assert sum(own) == sum(row.mask) == stored.usage.completion_tokens
        assert stored.usage.prompt_tokens == row.mask.index(True)
        answered = sum(turn.tokens for turn in message.steps if turn.by == "tool")
        assert answered == len(row.ids) - row.mask.index(True) - sum(own)


def test_an_edit_counts_sources_as_they_are_shown_and_is_exported_with_the_calls(server: ChatServer) -> None:
    with signed_in(server, "fay") as fay:
        decide(fay, "agree")
        id, _ = ask(fay, MILL.asked)
        response = stored(server, "labeler-fay", id).id

        def edit(text: str) -> Any:
            return fay.post(f"/chat/c/{id}/edit", json={"response": response, "text": text})

        assert "This is the response itself" in edit(SHOWN).json()["problem"]
        refused = edit("It was [2].")
        assert (refused.status_code, refused.json()["problem"]) == (
            409,
            "[2] is no source of this response, which has 1.",
        )
        assert edit("Built in 1820 [1], or so [?].").status_code == 200
        assert "Built in 1820 [1], or so." in fay.get(f"/chat/c/{id}/thread").text
    app: Any = server.server.config.app
    with server.database.reading() as session:
        found = chat_records.collect(session, app.state.statement, 9)
    [demonstration] = found.records[chat_records.DEMONSTRATIONS]
    assert demonstration.messages[-1].content == "Built in 1820 [2], or so."
    [call] = demonstration.calls
    assert (call.name, call.arguments) == ("search", {"query": "mill built"})
    assert call.result.startswith("[2] The mill")
    [ranking] = found.records[chat_records.EDITS]
    assert ranking.responses == ("Built in 1820 [2], or so.", MILL.said)
    line = json.loads(demonstration.model_dump_json())
    assert Demonstration.model_validate(line) == demonstration


def test_what_a_rule_may_stop_is_asked_of_no_reader_before_it_is_checked(
    server: ChatServer, source: InMemory
) -> None:
    for stated, said, state in (("hill", SHOWN, "complete"), ("built", "Not this.", "blocked")):
        with (
            served_chat(server.root, server.database, blocking(stated), source=source, tools=plan()) as ruled,
            signed_in(ruled, "gus") as gus,
        ):
            id, events = ask(gus, MILL.asked)
            assert [event["call"]["asked"] for event in events if "call" in event] == ["", ""]
            assert "".join(event.get("text", "") for event in events) == said
        message = stored(server, "labeler-gus", id)
        assert (message.state, bool(message.turns)) == (state, state == "complete")


@needs_chromium
def test_the_page_shows_a_search_and_its_sources_by_keyboard_and_on_a_phone(
    server: ChatServer, chromium: "Browser", tmp_path: Path
) -> None:
    folder = os.environ.get("PICTURES", str(tmp_path))
    page = sign_in(chromium, server.database, server.url, "hal")
    certain(page)
    page.fill("#message", HANG.asked)
    page.keyboard.press("Enter")
    page.wait_for_selector(".live .call")
    assert page.inner_text(".live .call") == "odd: hang …"
    page.wait_for_selector(".message.assistant:not(.live) .call")
    assert page.inner_text(".message.assistant .call") == "odd: hang · odd gave no result within 1 s"
    page.goto(f"{server.url}/chat")
    certain(page)
    send(page, MILL.asked)
    assert page.inner_text(".message.assistant .call") == "search: mill built"
    assert page.inner_text(".message.assistant .text") == SHOWN
    summary = page.locator(".sources summary")
    assert summary.inner_text() == f"The mill {IMAGE} mill.md, CC-BY-4.0"
    passage = page.locator(".sources blockquote")
    assert not passage.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    assert passage.inner_text() == f"The mill was built in 1820. {SCRIPT}"
    assert_accessible(page)
    page.screenshot(path=f"{folder}/chat-sources.png")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=f"{folder}/chat-sources-390.png")
    page.reload()
    assert page.inner_text(".message.assistant .text") == SHOWN
    assert page.locator(".sources li").count() == 1
    assert page.title() == f"{MILL.asked} · Alignloop"
