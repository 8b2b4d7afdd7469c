"""The API under load and at its end: full queues, dropped connections, moved aliases, shutdown."""

import json
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest

from alignloop.labeling.database import LabelingDatabase
from alignloop.tracking import registry
from tests.serving.conftest import Pacer
from tests.web.chat_server import CHAMPION, ChatServer, client_of, served_chat

MESSAGES = [{"role": "user", "content": "Is the sea full of salt?"}]
CHAT = "/v1/chat/completions"


def test_a_full_queue_refuses_with_the_seconds_to_wait(
    policies: Path, database: LabelingDatabase, key: str
) -> None:
    with served_chat(policies, database, max_running=1, max_waiting=1) as small:
        lease = small.pool.lease(CHAMPION)
        pacer = Pacer(lease.engine)
        with pytest.raises(openai.RateLimitError) as refused:
            client_of(small, key).chat.completions.create(model=CHAMPION, messages=MESSAGES, n=2)
        assert refused.value.code == "queue_full"
        assert refused.value.response.headers["Retry-After"] == "1"
        pacer.step(100)
        lease.end()
        reply = client_of(small, key).chat.completions.create(model=CHAMPION, messages=MESSAGES)
        assert reply.choices[0].finish_reason


def _dropped(server: ChatServer, key: str, is_stream: bool, pacer: Pacer) -> None:
    """Send a request and close the connection: at the first bytes of a stream, else once it is generated."""
    body = json.dumps(
        {"model": CHAMPION, "messages": MESSAGES, "max_tokens": 80, "seed": 1, "stream": is_stream}
    )
    place = urlsplit(server.url)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {key}\r\n"
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        lease = server.pool.lease(CHAMPION)
        while lease.engine.load[1] + lease.engine.load[0] < 2:
            time.sleep(0.005)
        pacer.step(3)
        if is_stream:
            assert b"200 OK" in connection.recv(100)
        lease.end()


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_dropped_connection_stops_its_generation(
    policies: Path, database: LabelingDatabase, key: str, is_stream: bool
) -> None:
    with served_chat(policies, database) as server:
        lease = server.pool.lease(CHAMPION)
        pacer = Pacer(lease.engine)
        _dropped(server, key, is_stream, pacer)
        deadline, steps = time.monotonic() + 20, 0
        while lease.engine.load != (1, 0):  # the pacer alone is left
            assert time.monotonic() < deadline
            time.sleep(0.05)
            pacer.step()
            steps += 1
        assert steps < 40
        pacer.step(100)
        lease.end()


def test_a_moved_alias_is_followed_and_no_request_is_dropped(
    policies: Path, database: LabelingDatabase, key: str
) -> None:
    with served_chat(policies, database) as server:
        lease = server.pool.lease(CHAMPION)
        pacer, client = Pacer(lease.engine), client_of(server, key)
        stream = client.chat.completions.create(
            model=CHAMPION, messages=MESSAGES, max_tokens=40, seed=2, stream=True
        )
        opening = next(stream)
        registry.set_alias(policies, "champion", registry.find(policies, "alignloop-policy/2"))
        try:
            while server.pool.find(CHAMPION).name != "alignloop-policy/2":
                time.sleep(0.02)
            new = client.chat.completions.create(model=CHAMPION, messages=MESSAGES, max_tokens=4)
            assert new.model == "alignloop-policy/2"
        finally:
            registry.set_alias(policies, "champion", registry.find(policies, "alignloop-policy/1"))
        pacer.step(100)
        lease.end()
        chunks = [opening, *stream]
        assert {chunk.model for chunk in chunks} == {"alignloop-policy/1"}
        assert chunks[-1].choices[0].finish_reason


def test_a_server_that_ends_lets_its_streams_end(
    policies: Path, database: LabelingDatabase, key: str
) -> None:
    with served_chat(policies, database) as server:
        lease = server.pool.lease(CHAMPION)
        pacer, client = Pacer(lease.engine), client_of(server, key)
        stream = client.chat.completions.create(
            model=CHAMPION, messages=MESSAGES, max_tokens=40, seed=2, stream=True
        )
        next(stream)
        server.server.should_exit = True
        while _is_listening(server):
            time.sleep(0.01)
        pacer.step(100)
        lease.end()
        assert list(stream)[-1].choices[0].finish_reason


def _is_listening(server: ChatServer) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", server.server.config.port)) == 0
