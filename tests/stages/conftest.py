"""A folder without a labeling database, and a judge model on the loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from alignloop.inference import chat_endpoint
from tests.chat_server import serving
from tests.stages.judge_endpoint import Endpoint


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(chat_endpoint, "BACK_OFF_S", 0.0)
    server = Endpoint()
    with serving(server):
        yield server


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path
