"""The doctor asks a sampling server that runs already: its version, its rows, and the ids that it reads."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from alignloop.checks.findings import Finding
from alignloop.checks.server_ids import check_server
from alignloop.core.checkpoint_folder import load_tokenizer
from alignloop.inference import http_client
from alignloop.params import Params
from tests.inference.stub_server import Stub

TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


class Asked:
    """What the doctor finds of a stub with these faults."""

    def __init__(self, params: Params, folder: Path, stack: ExitStack) -> None:
        self.params, self.folder, self.stack = params, folder, stack

    def __call__(self, url: str | None = None, command: str | None = None, **faults: Any) -> list[Finding]:
        if url is None:
            stub = self.stack.enter_context(Stub(self.folder, **faults))
            thread = threading.Thread(target=stub.serve_forever, args=(0.02,))
            thread.start()
            self.stack.callback(thread.join)
            self.stack.callback(stub.shutdown)
            url = stub.url
        rollout = self.params.rollout.model_copy(update={"engine": "vllm", "url": url, "command": command})
        return list(check_server(rollout, self.params.decoding, load_tokenizer(self.folder)))


@pytest.fixture
def asked(params: Params, tiny_policy: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    monkeypatch.setattr(http_client, "BACK_OFF_S", 0.01)
    with ExitStack() as stack:
        yield Asked(params, tiny_policy, stack)


def test_a_server_on_the_same_checkpoint_is_fine_and_one_that_a_stage_starts_is_not_asked(
    asked: Asked, params: Params, tiny_policy: Path
) -> None:
    [finding] = asked()
    assert (finding.severity, finding.check) == ("ok", "server")
    assert "reads texts and dialogues as the same ids" in finding.message
    [finding] = asked("http://127.0.0.1:9", command="vllm serve {model}")
    assert finding.severity == "note"
    assert not list(check_server(params.rollout, params.decoding, load_tokenizer(tiny_policy))), "engine: own"


@pytest.mark.parametrize(
    ("faults", "severity", "said"),
    [
        ({"shifts": 1}, "error", "it reads a text as other ids than training does"),
        ({"template": TEMPLATE}, "warning", "its chat template gives a prompt other ids"),
        ({"version": "0.31.0"}, "error", "it is vLLM 0.31.0, and 0.30.x is required"),
        ({"longest": 8}, "error", "its longest row (--max-model-len) has 8 tokens"),
    ],
)
def test_another_tokenizer_template_version_or_length_is_named_with_a_remedy(
    asked: Asked, faults: dict[str, Any], severity: str, said: str
) -> None:
    finding = asked(**faults)[0]
    assert finding.severity == severity
    assert said in finding.message
    assert finding.remedy


def test_a_server_that_is_not_there_is_an_error(asked: Asked) -> None:
    [finding] = asked("http://127.0.0.1:9")
    assert finding.severity == "error"
    assert "the connection failed" in finding.message
