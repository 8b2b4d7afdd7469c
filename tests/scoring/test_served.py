"""A server of scores is asked in bounded time, and what it replies is checked item by item."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from alignloop.inference import http_client
from alignloop.params.score import Scoring
from alignloop.scoring.drawn import Drawn, ScoreError
from alignloop.scoring.served import KEY_VARIABLE, Served


class Endpoint(ThreadingHTTPServer):
    """Scores a response by its length; the next replies can be statuses, or anything in place of scores."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[Any] = []
        self.keys: list[str | None] = []
        self.statuses: list[int] = []
        self.reply: Any = None
        self.hangs_s = 0.0

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # whoever asked has given up


class Handler(BaseHTTPRequestHandler):
    server: Endpoint  # type: ignore[assignment]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        self.server.keys.append(self.headers.get("Authorization"))
        time.sleep(self.server.hangs_s)
        status = self.server.statuses.pop() if self.server.statuses else 200
        scores = {"scores": [len(item["response"]) for item in body["items"]]}
        content = json.dumps(scores if self.server.reply is None else self.server.reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(http_client, "BACK_OFF_S", 0.01)
    with Endpoint() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.shutdown()


def scored(endpoint: Endpoint, drawn: Drawn, timeout_s: float = 30.0) -> list[float]:
    limits = Scoring(timeout_s=timeout_s, max_concurrency=2, responses_per_request=3)
    served = Served("judge", f"http://127.0.0.1:{endpoint.server_port}/score", limits)
    try:
        return served(drawn).tolist()
    finally:
        served.close()


def test_scores_come_in_order_whatever_the_requests(
    endpoint: Endpoint, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    endpoint.statuses = [503]
    assert scored(endpoint, drawn) == [9.0, 3.0, 10.0, 7.0]
    assert sorted(len(body["items"]) for body in endpoint.asked) in ([1, 1, 3], [1, 3, 3]), "one asked again"
    assert set(endpoint.keys) == {"Bearer secret"}
    first = next(body["items"][0] for body in endpoint.asked if len(body["items"]) == 3)
    message = {"role": "user", "content": "What is 0?"}
    assert first == {"id": "p0", "messages": [message], "response": "It is 13.", "check": {"answer": "13"}}


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ({"scores": [1.0, 2.0]}, "prompts p0, p1, p2: gave 2 scores for 3 responses; let it reply"),
        ({"scores": [1.0, float("nan"), 1.0]}, "prompt p1: gave nan, which is not finite"),
        ({"scores": [1.0, 1.0, "high"]}, "prompt p2: gave 'high' in place of a number"),
        ({"scores": 1.0}, "prompts p0, p1, p2: gave float in place of a list of scores"),
        ({"error": "overloaded"}, "prompts p0, p1, p2: the reply has no scores: {'error': 'overloaded'}"),
        ([1.0, 1.0, 1.0], "prompts p0, p1, p2: the reply has no scores: [1.0, 1.0, 1.0]"),
    ],
)
def test_a_wrong_reply_names_the_prompts(endpoint: Endpoint, drawn: Drawn, reply: Any, fault: str) -> None:
    endpoint.reply = reply
    one = Drawn(drawn.prompt_ids[:3], drawn.response_ids[:3], drawn.prompts[:3], drawn.texts[:3])
    with pytest.raises(ScoreError) as caught:
        scored(endpoint, one)
    assert str(caught.value).startswith(f"ppo.score.judge: {fault}")


def test_a_server_that_is_slow_or_fails_or_refuses_ends_the_run(endpoint: Endpoint, drawn: Drawn) -> None:
    endpoint.statuses = [500] * 20
    with pytest.raises(ScoreError, match=r"prompt.* p.: .*status 500.*4 times.*and run again"):
        scored(endpoint, drawn)
    endpoint.statuses = [401] * 4
    with pytest.raises(ScoreError, match=f"status 401; set {KEY_VARIABLE} to the server's API key"):
        scored(endpoint, drawn)
    endpoint.statuses = [404] * 4
    with pytest.raises(ScoreError, match=r"status 404.*or correct ppo.score.judge.url"):
        scored(endpoint, drawn)
    endpoint.statuses, endpoint.hangs_s = [], 1.0
    with pytest.raises(ScoreError, match=r"no complete reply within 0.1 s"):
        scored(endpoint, drawn, timeout_s=0.1)
