"""`python -m alignloop chat`: keys by the command line, and a server that ends gently."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from alignloop.__main__ import main
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


def test_the_server_serves_the_champion_and_sigterm_lets_a_stream_end(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = register_policy(project, 0, context=2048)
    registry.set_alias(project, "champion", version)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shutil.copytree(PROJECT / "configs", project / "configs")
    values = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(values.replace("127.0.0.1:4400", f"127.0.0.1:{port}"))
    assert main(["chat", "create-key", "program"]) == 0
    key = capsys.readouterr().out.strip()
    server = subprocess.Popen(
        [sys.executable, "-m", "alignloop", "chat"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0)
        _await(client, server)
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
    assert f"http://127.0.0.1:{port}/invitation/" in said
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
