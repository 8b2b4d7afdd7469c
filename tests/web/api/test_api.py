"""The API as the official client uses it, against a real server with registered policies."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from alignloop.labeling import api_keys
from alignloop.labeling.database import LabelingDatabase
from tests.web.chat_server import CHAMPION, ChatServer, client_of, raw, served_chat

MESSAGES: Any = [{"role": "user", "content": "Is the sea full of salt?"}]
CHAT = "/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "get_current_timestamp", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def server(policies: Path, database: LabelingDatabase) -> Iterator[ChatServer]:
    with served_chat(policies, database) as server:
        yield server


@pytest.fixture
def client(server: ChatServer, key: str) -> Any:
    return client_of(server, key)


def test_the_models_are_the_versions_and_their_aliases(client: Any) -> None:
    names = [model.id for model in client.models.list()]
    assert names == ["alignloop-policy/2", CHAMPION, "alignloop-policy/1"]
    assert client.models.retrieve(CHAMPION).id == CHAMPION
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("alignloop-policy/9")
    assert refused.value.code == "model_not_found"


def test_a_dialogue_is_continued_whole_and_in_chunks(client: Any) -> None:
    asked: Any = {"model": CHAMPION, "messages": MESSAGES, "seed": 1, "max_tokens": 20}
    whole = client.chat.completions.create(**asked)
    assert whole.model == "alignloop-policy/1"
    assert whole.usage
    chunks = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content != ""
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])
    other = client.chat.completions.create(**asked | {"model": "alignloop-policy/2"})
    assert other.model == "alignloop-policy/2"
    assert other.choices[0].message.content != text


def test_a_request_with_tools_of_its_own_is_answered_as_one_without(client: Any) -> None:
    asked: Any = {"model": CHAMPION, "messages": MESSAGES, "seed": 1, "max_tokens": 8}
    plain = client.chat.completions.create(**asked).choices[0].message
    for choice in ({}, {"tool_choice": "auto"}, {"tool_choice": "none"}):  # as Open WebUI does
        offered = client.chat.completions.create(**asked, tools=[TOOL] * 36, **choice).choices[0].message
        assert (offered.content, offered.tool_calls) == (plain.content, None)


def test_choices_log_probabilities_stop_and_temperature_are_as_asked(client: Any) -> None:
    asked: Any = {"model": CHAMPION, "messages": MESSAGES, "max_completion_tokens": 6, "seed": 5}
    reply = client.chat.completions.create(**asked, n=3, logprobs=True, top_logprobs=2)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in reply.choices}) == 3
    content = reply.choices[0].logprobs and reply.choices[0].logprobs.content
    assert content
    assert len(content) == 6
    assert all(each.logprob <= each.top_logprobs[0].logprob < 0 for each in content)
    greedy = {**asked, "temperature": 0}
    first, second = (client.chat.completions.create(**greedy | {"seed": seed}) for seed in (1, 2))
    text = first.choices[0].message.content or ""
    assert text == second.choices[0].message.content
    again = client.completions.create(model=CHAMPION, prompt="Is it", max_tokens=30, seed=2, n=2)
    stop = again.choices[1].text[3:5]
    cut = client.completions.create(model=CHAMPION, prompt="Is it", max_tokens=30, seed=2, n=2, stop=stop)
    assert cut.choices[1].text == again.choices[1].text.partition(stop)[0]
    assert cut.choices[1].finish_reason == "stop"


def test_texts_and_token_ids_are_continued(client: Any, server: ChatServer) -> None:
    lease = server.pool.lease(CHAMPION)
    ids = list(lease.engine.encode_text("Is the sea"))
    lease.end()
    asked: Any = {"model": CHAMPION, "seed": 3, "max_tokens": 8}
    one = client.completions.create(prompt="Is the sea", **asked).choices[0]
    by_ids = client.completions.create(prompt=[ids], **asked).choices[0]
    both = client.completions.create(prompt=["Is the sea", "Who"], **asked, logprobs=1)
    assert one.text == by_ids.text == both.choices[0].text
    assert both.choices[1].index == 1
    assert both.choices[0].logprobs
    assert both.choices[0].logprobs.token_logprobs
    chunks = client.completions.create(prompt="Is the sea", **asked, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == one.text


def test_concurrent_requests_are_not_mixed(server: ChatServer, key: str, client: Any) -> None:
    def asked(seed: int) -> Any:
        messages = [{"role": "user", "content": f"Who painted door {seed}?"}]
        return {"model": CHAMPION, "messages": messages, "seed": seed, "max_tokens": 30}

    async def all_at_once() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as many:

            async def one(seed: int) -> str:
                stream = await many.chat.completions.create(**asked(seed), stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*map(one, range(24)))

    together = asyncio.run(all_at_once())
    assert len(set(together)) > 20
    for seed in (0, 11, 23):
        reply = client.chat.completions.create(**asked(seed))
        assert reply.choices[0].message.content == together[seed]


@pytest.mark.parametrize(
    ("changes", "status", "code", "param"),
    [
        ({"model": "gpt-4"}, 404, "model_not_found", "model"),
        ({"model": None}, 400, "invalid_value", "model"),
        ({"messages": []}, 400, "invalid_value", "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "invalid_value", "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, None, "messages"),
        (
            {"messages": [{"role": "user", "content": "word " * 200}]},
            400,
            "context_length_exceeded",
            "messages",
        ),
        ({"max_tokens": 500}, 400, "context_length_exceeded", "messages"),
        ({"max_tokens": 0}, 400, "invalid_value", "max_tokens"),
        ({"temperature": 2.1}, 400, "invalid_value", "temperature"),
        ({"temperature": "hot"}, 400, "invalid_value", "temperature"),
        ({"top_p": -0.1}, 400, "invalid_value", "top_p"),
        ({"n": 1000}, 400, "invalid_value", "n"),
        ({"stop": ["a"] * 5}, 400, "invalid_value", "stop"),
        ({"tools": [TOOL], "tool_choice": "required"}, 400, "invalid_value", "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, 400, "invalid_value", "tool_choice"),
        ({"frequency_penalty": 1}, 400, "invalid_value", "frequency_penalty"),
        ({"beam_width": 4}, 400, "unknown_parameter", "beam_width"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(
    server: ChatServer, key: str, changes: dict[str, Any], status: int, code: str | None, param: str
) -> None:
    body = {"model": CHAMPION, "messages": MESSAGES, "max_tokens": 4} | changes
    with raw(server, key) as client:
        reply = client.post(CHAT, json=body)
    assert reply.status_code == status
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert code is None or error["code"] == code


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[1]", 400),
        (b'{"model": NaN}', 400),
        (b'{"model": "\xff"}', 400),
        (b"[" * 100_000, 400),
        (b'{"messages": [' + b"1," * 400_000 + b"1]}", 400),
        (b"{" + b",".join(b'"k%d": 1' % number for number in range(60_000)) + b"}", 400),
        (b'{"model":"' + b"x" * (1 << 20) + b'"}', 413),
        (json.dumps({"model": CHAMPION, "messages": [{"role": "user", "content": "\ud800"}]}).encode(), 400),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_body_that_is_no_request_gets_an_error_object(
    server: ChatServer, key: str, body: bytes, status: int
) -> None:
    with raw(server, key) as client:
        reply = client.post(CHAT, content=body)
    assert reply.status_code == status
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_an_address_or_method_that_is_not_there_gets_an_error_object(server: ChatServer, key: str) -> None:
    with raw(server, key) as client:
        for reply, status in ((client.get(CHAT), 405), (client.get("/v1/nothing"), 404)):
            assert reply.status_code == status
            assert reply.json()["error"]["type"] == "invalid_request_error"


def test_no_key_a_wrong_key_and_a_key_of_another_scope_are_refused(
    server: ChatServer, database: LabelingDatabase
) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as stranger:
        for authorization in ("", "Bearer", "Bearer al-wrong", "Basic al-wrong", "Bearer sk-1"):
            reply = stranger.post(CHAT, json={}, headers={"Authorization": authorization})
            assert reply.status_code == 401
            assert reply.json()["error"]["code"] == "invalid_api_key"
    reads = client_of(server, api_keys.create(database, "reads", ["models"], None, None))
    assert list(reads.models.list())
    with pytest.raises(openai.PermissionDeniedError, match="no scope 'chat'"):
        reads.chat.completions.create(model=CHAMPION, messages=MESSAGES)


def test_a_key_at_its_limit_is_told_when_to_come_again(
    server: ChatServer, database: LabelingDatabase
) -> None:
    few = api_keys.create(database, "few", api_keys.SCOPES, None, 2)
    with raw(server, few) as client:
        left = [client.get("/v1/models").headers["x-ratelimit-remaining-requests"] for _ in range(2)]
        refused = client.get("/v1/models")
    assert left == ["1", "0"]
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(refused.headers["Retry-After"]) <= 86400


def test_other_sites_and_other_names_are_refused_and_a_key_alone_opens_nothing_to_them(
    server: ChatServer, key: str
) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        with raw(server, key, **headers) as client:
            reply = client.post(CHAT, json={"model": CHAMPION, "messages": MESSAGES})
        assert reply.status_code == 403
        assert reply.json()["error"]["message"].startswith("This was sent by another site")
        assert "access-control-allow-origin" not in reply.headers
    with raw(server, key, Host="evil.example") as client:
        assert client.get("/v1/models").status_code == 400


def test_a_parameter_opens_the_api_on_loopback_to_programs_of_this_machine_alone(
    policies: Path, database: LabelingDatabase, server: ChatServer
) -> None:
    with served_chat(policies, database, open_on_loopback=True) as open_server:
        assert list(client_of(open_server, "none").models.list())
        with httpx.Client(base_url=open_server.url, trust_env=False) as client:
            forwarded = client.get("/v1/models", headers={"X-Forwarded-For": "203.0.113.7"})
            assert forwarded.status_code == 401
            other_site = client.post(CHAT, json={}, headers={"Origin": "https://evil.example"})
            assert other_site.status_code == 403
    # behind a proxy the address is another: everybody seems to come from this machine
    with served_chat(policies, database, open_on_loopback=True, url="https://chat.example") as proxied:
        port = proxied.server.config.port
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            assert client.get("/v1/models").status_code == 401


def test_what_people_say_and_models_respond_is_in_no_log(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    said: Any = [{"role": "user", "content": "my-secret-word"}]
    asked: Any = {"model": CHAMPION, "seed": 1, "max_tokens": 20}
    [choice] = client.chat.completions.create(messages=said, **asked).choices
    for wrong in ({"messages": said * 3}, {"messages": [*said, {"role": "my-secret-word"}]}):
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**asked | wrong | {"max_tokens": 90})
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(messages=said, model="alignloop-policy/9")
    ours = [each for each in caplog.records if not each.name.startswith(("openai", "httpcore"))]
    lines = "\n".join(each.getMessage() + str(each.exc_info or "") for each in ours)
    assert "my-secret-word" not in lines
    assert choice.message.content not in lines
