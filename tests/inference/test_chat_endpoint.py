"""What an OpenAI-compatible endpoint may do wrong, and what is said of it."""

from collections.abc import Iterator

import pytest

from alignloop.errors import AlignloopError
from alignloop.inference import chat_endpoint, usage
from alignloop.inference.chat_endpoint import ChatEndpoint, EndpointWords, InvalidReply, Watch, retry_after
from tests.chat_server import ChatServer, serving

WORDS = EndpointWords("its.url", "SOME_KEY", "nothing is lost", AlignloopError)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setattr(chat_endpoint, "BACK_OFF_S", 0.0)
    with serving(ChatServer(lambda body: "yes")) as server:
        yield server


class Counted(Watch):
    def __init__(self) -> None:
        self.counts = [0, 0]

    def sent(self) -> None:
        self.counts[0] += 1

    def declined(self) -> None:
        self.counts[1] += 1


def ask(url: str, watch: Watch | None = None, waits: list[float] | None = None) -> str:
    def read(completion) -> str:
        if (text := completion["choices"][0]["message"]["content"]) != "no":
            return text
        raise InvalidReply("it says no")

    with ChatEndpoint(url, WORDS, at_once=1, timeout_s=5) as endpoint:
        if waits is not None:
            endpoint._given_up.wait = lambda timeout=None: waits.append(timeout or 0.0) or False
        return endpoint.ask(lambda attempt: {"attempt": attempt}, read, "gave nothing", watch)


def test_a_busy_server_is_asked_again_after_what_it_asks_for_and_an_invalid_reply_too(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "a-secret")
    waits: list[float] = []
    server.first, server.headers = [429, "no"], {"Retry-After": "7"}
    watch, before = Counted(), usage.so_far()
    assert ask(server.url + "/", watch, waits) == "yes"
    assert waits == [7.0, 0.0]
    assert watch.counts == [3, 1]
    # three requests; the two completions, one of them invalid, state 11 and 7 tokens each
    assert [after - before[kind] for kind, after in usage.so_far().items()] == [3, 22, 14]
    assert [body["attempt"] for body in server.asked] == [0, 1, 2]
    assert server.keys == ["Bearer a-secret"] * 3


def test_retry_after_is_a_number_of_seconds_or_a_date() -> None:
    assert retry_after("2.5") == 2.5
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert 1e8 < retry_after("Wed, 21 Oct 2065 07:28:00 GMT") < 2e9
    assert retry_after("soon") == retry_after(None) == retry_after("-3") == 0.0


@pytest.mark.parametrize(
    ("first", "message", "requests"),
    [
        (
            [b"<!doctype html><HTML><p>Sign in"],
            "a web page (HTML): <!doctype html><HTML><p>Sign in; is its.url",
            1,
        ),
        ([b"po\x1b[2Jng"], "the reply is no JSON: po?[2Jng", 1),
        ([b"[" * 50_000], "the reply is no JSON: [[[", 1),
        ([b'{"object": "list"}'], 'is no chat completion (choices[0].message): {"object": "list"}', 1),
        ([{"choices": []}], "is no chat completion", 1),
        ([401], "returned status 401", 1),
        ([503] * 4, "returned status 503, 4 times", 4),
        (["no"] * 4, "gave nothing, 4 times: it says no; start it or correct its.url", 4),
    ],
)
def test_what_it_does_wrong_is_one_message_with_what_helps(
    server: ChatServer, first: list, message: str, requests: int
) -> None:
    server.first = first
    with pytest.raises(AlignloopError) as caught:
        ask(server.url)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{server.url}/chat/completions: ")
    assert len(server.asked) == requests


def test_a_server_that_asks_to_wait_long_or_is_down_is_not_waited_for(server: ChatServer) -> None:
    server.first, server.headers = [429], {"Retry-After": "3600"}
    with pytest.raises(AlignloopError, match="status 429 and asks to wait 3,600 s; run again then"):
        ask(server.url)
    with pytest.raises(AlignloopError, match=r"cannot be reached, 4 times: .*refused; start it or correct"):
        ask("http://127.0.0.1:1/v1")


def test_a_key_that_is_no_key_is_refused_and_not_shown(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "a-secret\n")  # as files end
    assert ask(server.url) == "yes"
    assert server.keys == ["Bearer a-secret"]
    monkeypatch.setenv("SOME_KEY", "a-secret\nof two lines")
    with pytest.raises(
        AlignloopError, match=r"^SOME_KEY in the environment must be a key of printable"
    ) as caught:
        ask(server.url)
    assert "secret" not in str(caught.value)
