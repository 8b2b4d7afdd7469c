"""No generated request to the API causes a server error, and every refusal is OpenAI's error object.

schemathesis generates requests, valid and invalid ones, from the schemas by which the API checks them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from pydantic import BaseModel
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

from alignloop.labeling.database import LabelingDatabase
from alignloop.web.api_feedback import ConsentRequest, FeedbackRequest
from alignloop.web.api_schema import ChatRequest, CompletionRequest
from tests.web.chat_server import CHAMPION, ChatServer, served_chat

BODIES: dict[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatRequest,
    "/v1/completions": CompletionRequest,
    "/v1/feedback": FeedbackRequest,
    "/v1/consent": ConsentRequest,
}
BOUNDED = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def described(server: ChatServer) -> dict[str, Any]:
    """The routes of the API with the schemas of their bodies, for the models that there are."""
    app: Any = server.server.config.app
    found = app.openapi()
    paths = {path: verbs for path, verbs in found["paths"].items() if path.startswith("/v1/")}
    parts = found.setdefault("components", {}).setdefault("schemas", {})
    for path, kind in BODIES.items():
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        parts |= schema.pop("$defs", {})
        if "model" in schema["properties"]:
            schema["properties"]["model"] = {"enum": [CHAMPION, "alignloop-policy/2", "alignloop-policy/9"]}
        content = {"application/json": {"schema": schema}}
        paths[path]["post"]["requestBody"] = {"required": True, "content": content}
    return {**found, "paths": paths}


@pytest.fixture(scope="module")
def server(policies: Path, database: LabelingDatabase) -> Iterator[ChatServer]:
    with served_chat(policies, database) as server:
        yield server


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_causes_a_server_error_and_refusals_are_error_objects(
    server: ChatServer, key: str, mode: GenerationMode
) -> None:
    api: Any = schemathesis.openapi.from_dict(described(server))
    headers = {"Authorization": f"Bearer {key}"}
    asked: dict[str, set[int]] = {}
    for operation in api.get_all_operations():
        found = operation.ok()
        if mode == GenerationMode.NEGATIVE and not found.body:
            continue

        @BOUNDED
        @given(case=found.as_strategy(generation_mode=mode))
        def sent(case: schemathesis.Case) -> None:
            reply = case.call(base_url=server.url, headers=headers)
            case.validate_response(reply, checks=[not_a_server_error])
            asked.setdefault(case.path, set()).add(reply.status_code)
            if reply.status_code >= 400:
                error = reply.json()["error"]
                assert error.keys() == {"message", "type", "param", "code"}

        sent()
    assert set(BODIES) <= asked.keys()
    if mode == GenerationMode.POSITIVE:
        assert 200 in asked["/v1/chat/completions"]
        assert 200 in asked["/v1/completions"]
