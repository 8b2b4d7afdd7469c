"""`python -m alignloop chat`: keys by the command line, and a server that is killed, or ends gently."""

import html
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from alignloop.__main__ import main
from alignloop.pipeline.overrides import override
from alignloop.tracking import registry
from tests.conftest import PROJECT
from tests.web.chat_server import CHAMPION, register_policy


@pytest.fixture(autouse=True)
def _own_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


def test_keys_are_created_listed_and_revoked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "create-key", "ada", "--scopes", "models", "chat", "--per-day", "5"]) == 0
    key = capsys.readouterr().out.strip()
    assert key.startswith("al-")
    assert len(key) > 40
    assert main(["chat", "create-key", "bob"]) == 0
    assert main(["chat", "revoke-key", "bob"]) == 0
    capsys.readouterr()
    assert main(["chat", "keys"]) == 0
    [ada, bob] = capsys.readouterr().out.splitlines()
    assert ada.startswith("ada ")
    assert ada.endswith("  models, chat; 5 a day")
    assert bob.endswith("  models, chat, completions; revoked")
    assert key not in ada


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["create-key", "Ada Lovelace"], "is no valid name of a key"),
        (["revoke-key", "nobody"], "there is no key nobody"),
        (["create-key", "ada", "--per-day", "0"], "must be a whole number from 1, not '0'"),
    ],
)
def test_a_wrong_word_is_named(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["chat", *words]) != 0
    assert message in capsys.readouterr().err


class Talker(threading.Thread):
    """A guest who prompts and votes until the server is gone, and notes what the server has acknowledged."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self.url, self.who = url, name
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=60, follow_redirects=True)
        page = self.http.post("/chat/guest").text
        key = re.search(r'data-key="([^"]+)"', page)
        assert key
        self.http.headers["X-Form-Key"] = key[1]
        self.prompts: dict[str, str] = {}  # conversation -> prompt
        self.responses: dict[str, str] = {}  # conversation -> what the model said
        self.reasons: dict[str, str] = {}  # conversation -> reason of a thumb

    def run(self) -> None:
        with suppress(httpx.TransportError):
            for number in count(1):
                self._talk(f"Is the sea full of salt, {self.who}, {number}?", f"No. {self.who} {number}!")

    def _talk(self, prompt: str, reason: str) -> None:
        with self.http.stream("POST", "/chat/prompts", json={"content": prompt}) as reply:
            id = reply.headers["X-Conversation"]
            self.prompts[id] = prompt
            events = [json.loads(line[6:]) for line in reply.iter_lines() if line]
        self.responses[id] = "".join(event.get("text", "") for event in events)
        values = {"response": events[-1]["done"], "thumb": "down", "reason": reason}
        if self.http.post(f"/chat/c/{id}/thumb", json=values).status_code == 200:
            self.reasons[id] = reason


def _start(project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "alignloop", "chat"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_was_acknowledged_survives_kill_9_and_sigterm_lets_a_stream_end(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = register_policy(project, 0, context=2048)
    registry.set_alias(project, "champion", version)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    shutil.copytree(PROJECT / "configs", project / "configs")
    changes = {"serving.url": url, "serving.guests": "open"}
    override(project / "params.yaml", changes=changes)
    assert main(["chat", "create-key", "program"]) == 0
    key = capsys.readouterr().out.strip()
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    server = _start(project)
    try:
        _await(client, server)
        talkers = [Talker(url, name) for name in ("ada", "bob", "eve")]
        for talker in talkers:
            talker.start()
        while sum(len(talker.reasons) for talker in talkers) < 12:
            assert any(talker.is_alive() for talker in talkers)
            time.sleep(0.01)
        server.kill()  # SIGKILL, with requests under way
        for talker in talkers:
            talker.join()
        _, first = server.communicate()
        server = _start(project)
        _await(client, server)
        for talker in talkers:
            assert talker.prompts
            for id, prompt in talker.prompts.items():
                thread = html.unescape(talker.http.get(f"/chat/c/{id}/thread").text)
                assert prompt in thread
                assert talker.responses.get(id, "") in thread
                assert talker.reasons.get(id, "") in thread
            talker.http.close()
        messages: Any = [{"role": "user", "content": "Who painted the door green?"}]
        stream = client.chat.completions.create(model=CHAMPION, messages=messages, n=16, seed=1, stream=True)
        chunks = [next(stream)]
        server.send_signal(signal.SIGTERM)
        chunks += stream
        ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason]
        assert len(ends) == 16
        _, said = server.communicate(timeout=30)
    finally:
        server.kill()
    assert server.returncode == 0, said
    assert f"{CHAMPION} is alignloop-policy/1" in said
    assert f"{url}/invitation/" in first
    assert "door" not in said  # no prompt is logged
    assert said.splitlines()[-1] == "chat: has ended"


def _await(client: openai.OpenAI, server: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while True:
        assert server.poll() is None
        assert time.monotonic() < deadline
        try:
            client.models.list()
            return
        except openai.APIConnectionError:
            time.sleep(0.1)
