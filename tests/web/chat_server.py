"""A project with registered policies, and the chat page and API of it on loopback."""

import asyncio
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import uvicorn

from alignloop import params as parameters
from alignloop import tracking
from alignloop.core.models import new_policy, save_policy
from alignloop.core.tokens import train_tokenizer
from alignloop.labeling import consent
from alignloop.labeling.database import LabelingDatabase
from alignloop.params.tools import Tools
from alignloop.pipeline import dvc_pipeline
from alignloop.rules.rule_set import RuleSet
from alignloop.serving.engine import EngineSettings
from alignloop.serving.model_pool import ModelPool
from alignloop.serving.open_models import open_models
from alignloop.serving.registered_models import ModelSource
from alignloop.serving.served_tools import ServedTools
from alignloop.tracking import registry
from alignloop.tracking.registry import Version
from alignloop.web.chat_app import create_chat_app
from tests.conftest import PROJECT, TEXTS

CHAMPION = "alignloop-policy@champion"
NO_RULES = RuleSet({})


@dataclass(frozen=True)
class ChatServer:
    url: str
    pool: ModelPool
    database: LabelingDatabase
    root: Path
    server: uvicorn.Server


def register_policy(root: Path, seed: int, context: int = 96) -> Version:
    """Register a policy with random weights."""
    tokenizer = train_tokenizer(TEXTS * 3, 300)
    folder = root / "models" / "r1" / "policy"
    shutil.rmtree(folder, ignore_errors=True)
    model = new_policy(tokenizer, layers=1, width=16, heads=2, context=context, seed=seed)
    save_policy(model, tokenizer, folder)
    hash = dvc_pipeline.hash_of(folder, root)
    with tracking.run(root, "ppo", "r1") as live:
        live.finish({"models/r1/policy": hash})
    return registry.register(
        root,
        "alignloop-policy",
        "models/r1/policy",
        hash,
        run=live.id,
        description="",
        parents={},
        tags={},
        generation={"max_new_tokens": 8},
    )


@contextmanager
def served_chat(
    root: Path,
    database: LabelingDatabase,
    rules: RuleSet = NO_RULES,
    tools: Tools | None = None,
    source: ModelSource | None = None,
    **changes: Any,
) -> Iterator[ChatServer]:
    """The server of the project in `root`, with other values of `serving`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    standard = {"url": url, "refresh_seconds": 0.2, "most_loaded": 2}
    plan = parameters.load(PROJECT / "params.yaml").serving.model_copy(update=standard | changes)
    pool = ModelPool(
        source or open_models(root, "alignloop", plan),
        EngineSettings(plan.max_running, plan.max_waiting, plan.batch_tokens),
        standard=plan.model,
        most_loaded=plan.most_loaded,
        refresh_seconds=plan.refresh_seconds,
        candidate=plan.candidate_name,
        tools=partial(ServedTools, tools, root=root) if tools else None,
    )
    pool.start()
    statement = consent.read_statement(PROJECT, plan.consent, plan.feedback_licence)
    consent.record_statement(database, statement)
    app = create_chat_app(database, plan, pool, rules, statement)
    config = uvicorn.Config(app, port=port, log_level="warning", lifespan="off", timeout_graceful_shutdown=10)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield ChatServer(url, pool, database, root, server)
    finally:
        server.should_exit = True
        thread.join()
        pool.close()


def client_of(server: ChatServer, key: str) -> Any:
    """The official client of a server, which does not send a request again."""
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


def raw(server: ChatServer, key: str, **headers: str) -> httpx.Client:
    return httpx.Client(
        base_url=server.url, headers={"Authorization": f"Bearer {key}", **headers}, trust_env=False
    )
