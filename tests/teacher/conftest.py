"""A folder with prompts and a plan, and a teacher on the loopback that repeats what it is asked."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from alignloop.commands.distill import command
from alignloop.data.record_files import read
from alignloop.exit_status import exit_status
from alignloop.inference import chat_endpoint
from alignloop.records import Demonstration
from alignloop.teacher.plan import KEY_VARIABLE
from tests.chat_server import ChatServer, serving

PROJECT = Path(__file__).parents[2]
PROMPTS = ["Why is the sea salty?", "Write to ada@example.org, please.", "Name a colour."]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.setattr(chat_endpoint, "BACK_OFF_S", 0.0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "forgotten.txt").touch()
    write(tmp_path / "prompts.jsonl", *PROMPTS)
    return tmp_path


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving(ChatServer(lambda body: f"You said: {body['messages'][-1]['content']}")) as server:
        yield server


def write(file: Path, *rows: Any) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def plan(here: Path, server: ChatServer) -> Callable[..., Path]:
    """Writes plan.yaml: the example with changes, by section and key."""

    def written(**changes: Any) -> Path:
        values = yaml.safe_load((PROJECT / "configs" / "teacher.yaml").read_text(encoding="utf-8"))
        values |= {"prompts": "prompts.jsonl", "out": "data/sources/teacher.jsonl"}
        values["principles"] = str(PROJECT / "configs" / "principles.yaml")
        values["teacher"] |= {"url": server.url, "name": "org/big", "max_concurrency": 1}
        for name, change in changes.items():
            values[name] = values[name] | change if isinstance(change, dict) else change
        (here / "plan.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        return here / "plan.yaml"

    return written


def distill(plan: Path, *options: str) -> int:
    return exit_status("distill", lambda: command([str(plan), *options]))


def written(here: Path) -> list[Demonstration]:
    return read(here / "data" / "sources" / "teacher.jsonl", Demonstration)


def asked(server: ChatServer) -> list[str]:
    return [body["messages"][-1]["content"] for body in server.asked]
