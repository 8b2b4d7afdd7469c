"""The API with vLLM servers as its engine: the official client, and what a server does wrong."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from alignloop import params as parameters
from alignloop.inference import server_process
from alignloop.labeling.database import LabelingDatabase
from alignloop.serving import vllm_models
from alignloop.serving.engine import EngineSettings, ServerUnavailable
from alignloop.serving.vllm_models import VllmModels
from alignloop.tracking import registry
from tests.conftest import PROJECT
from tests.inference.stub_hub import Hub, serving_hub
from tests.inference.stub_server import Stub
from tests.web.chat_server import CHAMPION, ChatServer, client_of, raw, served_chat

MESSAGES: Any = [{"role": "user", "content": "Is the sea full of salt?"}]


@pytest.fixture(scope="module", autouse=True)
def _quick_looks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_process, "POLL_S", 0.02)
        yield


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serving_hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def server(policies: Path, database: LabelingDatabase, hub: Hub) -> Iterator[ChatServer]:
    with served_chat(
        policies, database, engine="vllm", command=hub.command, timeout_s=2.0, max_running=2, max_waiting=1
    ) as server:
        yield server


@pytest.fixture
def stub(server: ChatServer, hub: Hub) -> Iterator[Stub]:
    """The stub behind the champion, without faults before and after."""
    stub = hub.stubs[-1]
    before = vars(stub.faults).copy()
    yield stub
    vars(stub.faults).update(before)


def ask(server: ChatServer, key: str, **more: Any) -> Any:
    asked: dict[str, Any] = {"model": CHAMPION, "messages": MESSAGES, "max_tokens": 12} | more
    return client_of(server, key).chat.completions.create(**asked)


def text_of(stream: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_responses_are_those_of_the_engine_in_this_process_where_no_chance_decides(
    policies: Path, database: LabelingDatabase, server: ChatServer, key: str
) -> None:
    settings = {"temperature": 0, "logprobs": True, "top_logprobs": 3}
    with served_chat(policies, database) as own:
        wanted = ask(own, key, **settings)
    found = ask(server, key, **settings)
    assert (found.model, found.usage) == (wanted.model, wanted.usage)
    assert found.choices[0].message.content == wanted.choices[0].message.content
    for mine, theirs in zip(
        found.choices[0].logprobs.content, wanted.choices[0].logprobs.content, strict=True
    ):
        assert mine.token == theirs.token
        assert mine.logprob == pytest.approx(theirs.logprob, abs=0.1)  # over all tokens, the forbidden too
        assert [each.token for each in mine.top_logprobs] == [each.token for each in theirs.top_logprobs]
    assert text_of(ask(server, key, stream=True, **settings)) == wanted.choices[0].message.content


def test_a_request_reaches_the_server_as_it_was_made(server: ChatServer, key: str, stub: Stub) -> None:
    first, again = (
        ask(server, key, n=2, seed=5, temperature=0.7, top_p=0.9, stop=["zz"], max_tokens=9) for _ in range(2)
    )
    texts = [choice.message.content for choice in first.choices]
    assert texts[0] != texts[1]
    assert [choice.message.content for choice in again.choices] == texts
    bodies = stub.requests("/v1/completions")[-4:]
    assert {(body["temperature"], body["top_p"], body["max_tokens"]) for body in bodies} == {(0.7, 0.9, 9)}
    assert len({body["seed"] for body in bodies}) == 2
    assert all("stop" not in body and body["logprobs"] is None for body in bodies)


def test_a_stop_text_ends_the_response_and_closes_its_stream(
    server: ChatServer, key: str, stub: Stub
) -> None:
    asked = {"temperature": 2, "seed": 9, "max_tokens": 60}
    whole = ask(server, key, **asked).choices[0].message.content
    stop = next(letter for letter in whole[2:] if letter.isascii() and letter.isalpha())
    stub.faults.token_s, closed = 0.1, stub.aborted  # 6 s, were it not ended
    reply = ask(server, key, stop=[stop], **asked)
    assert reply.choices[0].message.content == whole[: whole.index(stop)].rstrip()
    assert reply.choices[0].finish_reason == "stop"
    eventually(lambda: stub.aborted == closed + 1)


def test_the_prompts_log_probabilities_are_echoed(server: ChatServer, key: str) -> None:
    reply = client_of(server, key).completions.create(
        model=CHAMPION, prompt="Is the sea", max_tokens=1, temperature=0, echo=True, logprobs=2
    )
    told = reply.choices[0].logprobs
    prompt = reply.usage.prompt_tokens
    assert "".join(told.tokens[:prompt]) == "Is the sea"
    assert told.token_logprobs[0] is None
    assert all(value < 0 for value in told.token_logprobs[1:prompt])
    assert all(len(top) == 2 for top in told.top_logprobs[1:prompt])


def test_a_client_that_goes_ends_its_stream(server: ChatServer, key: str, stub: Stub) -> None:
    stub.faults.token_s, closed = 0.3, stub.aborted  # 21 s, were it not ended
    stream = ask(server, key, stream=True, max_tokens=70, temperature=2, seed=9)
    next(iter(stream))
    stream.close()
    eventually(lambda: stub.aborted == closed + 1)
    eventually(lambda: server.pool.load() == (0, 0))


def test_a_full_queue_refuses(server: ChatServer, key: str, stub: Stub) -> None:
    with stub.lock:
        streams = [ask(server, key, stream=True) for _ in range(3)]
        with pytest.raises(openai.RateLimitError) as refused:
            ask(server, key)
    assert (refused.value.code, refused.value.response.headers["Retry-After"]) == ("queue_full", "1")
    assert all(list(stream)[-1].choices[0].finish_reason for stream in streams)


def other_prompt(choice: dict[str, Any]) -> dict[str, Any]:
    return {**choice, "prompt_token_ids": [1]} if "prompt_token_ids" in choice else choice


@pytest.mark.parametrize(
    ("faults", "status", "code"),
    [
        ({"statuses": [500]}, 503, "engine_unavailable"),
        ({"statuses": [503]}, 503, "engine_unavailable"),
        ({"statuses": [404]}, 502, "engine_failed"),
        ({"drop": 1}, 503, "engine_unavailable"),
        ({"hang_s": 2.5}, 503, "engine_unavailable"),
        ({"cut_after": 2}, 503, "engine_unavailable"),
        ({"breaks_after": 2}, 503, "engine_unavailable"),
        ({"no_json": True}, 502, "engine_failed"),
        ({"longest": 4}, 502, "engine_failed"),
        ({"change": other_prompt}, 502, "engine_failed"),
        ({"change": lambda choice: {**choice, "token_ids": [0]}}, 502, "engine_failed"),
        ({"change": lambda choice: {**choice, "finish_reason": "abort"}}, 502, "engine_failed"),
    ],
)
def test_a_fault_of_the_server_is_an_error_object(
    server: ChatServer, key: str, stub: Stub, faults: dict[str, Any], status: int, code: str
) -> None:
    vars(stub.faults).update(faults)
    with raw(server, key) as client:
        reply = client.post(
            "/v1/chat/completions",
            json={"model": CHAMPION, "messages": MESSAGES, "max_tokens": 30, "seed": 3},
        )
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert ("Retry-After" in reply.headers) == (status == 503)


def test_a_fault_after_the_first_tokens_is_an_event(server: ChatServer, key: str, stub: Stub) -> None:
    stub.faults.cut_after = 3
    with pytest.raises(openai.APIError, match="does not respond; send the request again"):
        list(ask(server, key, stream=True, max_tokens=30, seed=3))


def test_a_server_that_dies_fails_its_streams_and_is_started_again(
    server: ChatServer, key: str, hub: Hub, stub: Stub
) -> None:
    stub.faults.token_s, started = 0.05, len(hub.stubs)
    stream = iter(ask(server, key, stream=True, max_tokens=70, temperature=2, seed=9))
    next(stream)
    os.kill(hub.pids[-1], signal.SIGKILL)
    with pytest.raises(openai.APIError, match="does not respond"):
        list(stream)
    eventually(lambda: len(hub.stubs) > started)
    assert ask(server, key).model == "alignloop-policy/1"


def test_a_moved_alias_gets_a_server_of_its_own_and_no_stream_is_dropped(
    policies: Path, server: ChatServer, key: str, hub: Hub, stub: Stub
) -> None:
    stub.faults.token_s = 0.05
    stream = iter(ask(server, key, stream=True, max_tokens=40, temperature=2, seed=9))
    next(stream)
    registry.set_alias(policies, "champion", registry.find(policies, "alignloop-policy/2"))
    try:
        eventually(lambda: server.pool.find(CHAMPION).name == "alignloop-policy/2")
        assert ask(server, key, max_tokens=4).model == "alignloop-policy/2"
        assert hub.stubs[-1] is not stub
    finally:
        registry.set_alias(policies, "champion", registry.find(policies, "alignloop-policy/1"))
    chunks = list(stream)
    assert {chunk.model for chunk in chunks} == {"alignloop-policy/1"}
    assert chunks[-1].choices[0].finish_reason
    eventually(lambda: server.pool.find(CHAMPION).name == "alignloop-policy/1")


@pytest.mark.parametrize(
    ("faults", "cause"),
    [
        ({"root": "/models/other"}, "it serves another model, /models/other: serving.command must start it"),
        ({"version": "0.31.0"}, r"it is vLLM 0.31.0, and 0.30.x is required"),
        ({"processed": True}, "start it without --logprobs-mode"),
        ({"key": "another"}, "status 401"),
    ],
)
def test_a_server_that_is_not_what_was_asked_for_is_not_used(
    policies: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    faults: dict[str, Any],
    cause: str,
) -> None:
    monkeypatch.setattr(vllm_models, "MOST_NATS", 1e-3)  # random weights: no temperature shows much
    with serving_hub(**faults) as wrong:
        serving = parameters.load(PROJECT / "params.yaml").serving
        plan = serving.model_copy(update={"engine": "vllm", "command": wrong.command})
        models = VllmModels(policies, "alignloop", plan)
        with pytest.raises(ServerUnavailable, match="its inference server cannot be used"):
            models.open(models.versions()[0], EngineSettings(2, 2, 1000))
        assert re.search(cause, caplog.text)
        with pytest.raises(ProcessLookupError):
            os.kill(wrong.pids[0], 0)
