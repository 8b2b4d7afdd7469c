"""A stub of vLLM on the loopback, on a tiny policy whose errors show, and samplers that ask it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core.models import load_policy, new_policy, save_policy, token_rules
from alignloop.core.tokens import TokenRules, encode_prompt, train_tokenizer
from alignloop.inference import http_client
from alignloop.inference.http_client import HttpClient
from alignloop.inference.vllm_sampler import VllmSampler
from alignloop.inference.weights_folder import WeightsFolder
from tests.conftest import TEXTS
from tests.inference.stub_server import Stub

MakeStub = Callable[..., Stub]
MakeSampler = Callable[..., VllmSampler]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS * 3, 300)


@pytest.fixture(scope="session")
def folder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer of width 16, weights times 6, so that logits differ by whole nats."""
    torch.set_num_threads(1)
    model = new_policy(tokenizer, layers=1, width=16, heads=2, context=96, seed=0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(6 if weight.dim() > 1 else 1)
    place = tmp_path_factory.mktemp("models") / "policy"
    save_policy(model, tokenizer, place)
    return place


@pytest.fixture
def policy(folder: Path) -> PreTrainedModel:
    """A policy of its own for each test."""
    return load_policy(folder)[0]


@pytest.fixture(scope="session")
def prompts(tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Twelve prompts of several lengths."""
    return [
        encode_prompt(tokenizer, [{"role": "user", "content": f"{TEXTS[n % 2][: 4 + n]}?"}])
        for n in range(12)
    ]


@pytest.fixture
def rules(tokenizer: PreTrainedTokenizerFast, policy: PreTrainedModel) -> TokenRules:
    return token_rules(tokenizer, policy)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "BACK_OFF_S", 0.01)
    monkeypatch.delenv(http_client.KEY_VARIABLE, raising=False)


@pytest.fixture
def serve(folder: Path) -> Iterator[MakeStub]:
    """Make stubs, with their faults."""
    with ExitStack() as stack:

        def make(place: Path = folder, **faults: Any) -> Stub:
            stub = stack.enter_context(Stub(place, **faults))
            thread = threading.Thread(target=stub.serve_forever, args=(0.02,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(stub.shutdown)
            return stub

        yield make


@pytest.fixture
def sampler(tmp_path: Path) -> Iterator[MakeSampler]:
    """Make samplers that ask a stub."""
    with ExitStack() as stack:

        def make(
            stub: Stub, max_gap: float = 1.05, timeout_s: float = 30, max_concurrency: int = 4
        ) -> VllmSampler:
            client = HttpClient(stub.url, timeout_s=timeout_s, max_concurrency=max_concurrency)
            stack.enter_context(closing(client))
            return VllmSampler(client, stack.enter_context(WeightsFolder(tmp_path)), max_gap)

        yield make
