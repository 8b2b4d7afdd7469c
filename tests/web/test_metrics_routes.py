"""The server's numbers as Prometheus reads them, and who may read them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from alignloop.labeling import api_keys
from alignloop.labeling.database import LabelingDatabase
from alignloop.rules.rule import Rule
from alignloop.rules.rule_set import RuleSet
from tests.web.chat_server import CHAMPION, ChatServer, client_of, raw, served_chat

SALT = Rule.model_validate(
    {"keywords": ["salt"], "checks": "prompt", "action": "block", "message": "No salt here."}
)


@pytest.fixture
def server(policies: Path, database: LabelingDatabase) -> Iterator[ChatServer]:
    with served_chat(policies, database, RuleSet({"salt": SALT})) as server:
        yield server


def numbers(text: str) -> dict[tuple[str, ...], float]:
    """Values by name and labels, which the format has in alphabetical order."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_tokens_latencies_the_queue_and_hits_are_counted(server: ChatServer):
    client: Any = client_of(server, api_keys.create(server.database, "ada", api_keys.SCOPES, None, None))
    for text in ("Is it green?", "Is the sea full of salt?"):
        client.chat.completions.create(
            model=CHAMPION, messages=[{"role": "user", "content": text}], max_tokens=9, seed=1
        )
    httpx.get(f"{server.url}/nothing", trust_env=False)
    found = numbers(httpx.get(f"{server.url}/metrics", trust_env=False).text)
    model = "alignloop-policy/1"
    assert found["alignloop_requests_total", "/v1/chat/completions", "200"] == 2
    assert found["alignloop_requests_total", "other", "404"] == 1
    assert found["alignloop_tokens_total", model, "response"] == 9
    assert found["alignloop_tokens_total", model, "prompt"] > 3
    assert found["alignloop_first_token_seconds_count", model] == 1
    assert 0 < found["alignloop_token_seconds_sum", model] < 5
    assert found["alignloop_rule_hits_total", "block", "salt", "prompt"] == 1
    assert found["alignloop_rules_seconds_count", "prompt"] == 2
    assert found[("alignloop_responses_running",)] == found[("alignloop_responses_waiting",)] == 0
    assert found[("alignloop_escalations_waiting",)] == 0


def test_from_elsewhere_the_numbers_take_a_key_with_their_scope(server: ChatServer):
    state: Any = server.server.config.app.state  # type: ignore[union-attr]
    state.serving = state.serving.model_copy(update={"url": "https://chat.example.org"})
    keys = {
        scope: api_keys.create(server.database, scope, [scope], None, None) for scope in ("chat", "metrics")
    }
    assert httpx.get(f"{server.url}/metrics", trust_env=False).status_code == 401
    with raw(server, keys["chat"]) as chat, raw(server, keys["metrics"]) as metrics:
        assert chat.get("/metrics").status_code == 403
        assert "alignloop_requests_total" in metrics.get("/metrics").text
