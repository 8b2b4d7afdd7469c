"""A folder without a labeling database, and a judge model on the loopback."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from alignloop.labeling import llm_judge
from tests.stages.judge_endpoint import Endpoint


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(llm_judge.time, "sleep", lambda seconds: None)
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path
