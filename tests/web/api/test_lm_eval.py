"""The requests of lm-evaluation-harness 0.4.13 (`local-completions`, `local-chat-completions`), replayed.

docs/clients.md has the run that they were recorded of. What it reads of the responses is compared with the
model's own log-probabilities.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from alignloop.labeling.database import LabelingDatabase
from alignloop.serving.registered_models import RegisteredModels
from tests.web.chat_server import CHAMPION, ChatServer, raw, served_chat

TEXTS = ("Is the sea full of salt? Yes, it is.", "Who painted the door green? Nobody knows.")


@pytest.fixture(scope="module")
def server(policies: Path, database: LabelingDatabase) -> Iterator[ChatServer]:
    with served_chat(policies, database) as server:
        yield server


def read(choice: dict[str, Any], context: int) -> tuple[float, bool]:
    """The log-probability of what follows the context, and whether it is greedy, as the harness reads it."""
    values = choice["logprobs"]["token_logprobs"][context:-1]
    tops = choice["logprobs"]["top_logprobs"][context:-1]
    is_greedy = all(value == max(top.values()) for value, top in zip(values, tops, strict=True))
    return sum(values), is_greedy


def test_log_likelihoods_of_continuations_are_the_models(server: ChatServer, key: str) -> None:
    models = RegisteredModels(server.root, "alignloop")
    version = next(each for each in models.versions() if CHAMPION in each.names)
    model, tokenizer = models.load(version)
    prompts = [tokenizer(text)["input_ids"] for text in TEXTS]
    asked = {"model": CHAMPION, "prompt": prompts, "temperature": 0, "max_tokens": 1, "logprobs": 1}
    with raw(server, key) as http:
        reply = http.post("/v1/completions", json=asked | {"seed": 1234, "echo": True}).json()
        streamed = http.post("/v1/completions", json=asked | {"echo": True, "stream": True})
    assert [choice["index"] for choice in reply["choices"]] == [0, 1]
    for ids, text, choice in zip(prompts, TEXTS, reply["choices"], strict=True):
        assert choice["text"].startswith(text)
        told = choice["logprobs"]
        assert len(told["token_logprobs"]) == len(ids) + 1, "the prompt's tokens and the drawn one"
        assert (told["token_logprobs"][0], told["top_logprobs"][0]) == (None, None)
        with torch.no_grad():
            logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        context = len(ids) // 2
        own = sum(float(logprobs[place - 1, ids[place]]) for place in range(context, len(ids)))
        likelihood, is_greedy = read(choice, context)
        assert likelihood == pytest.approx(own, abs=1e-4)
        assert is_greedy == all(
            int(logprobs[place - 1].argmax()) == ids[place] for place in range(context, len(ids))
        )
    assert streamed.json()["error"]["param"] == "echo"


def test_texts_are_generated_from_token_ids_and_from_a_dialogue(server: ChatServer, key: str) -> None:
    _, tokenizer = RegisteredModels(server.root, "alignloop").load(server.pool.find(CHAMPION))
    about = {"model": CHAMPION, "max_tokens": 8, "temperature": 0, "seed": 1234}
    ids = tokenizer(TEXTS[0])["input_ids"]
    messages = [{"role": "user", "content": TEXTS[0]}]
    with raw(server, key) as http:
        texts = http.post("/v1/completions", json={**about, "prompt": [ids, ids], "stop": ["\n\n", "</s>"]})
        dialogue = http.post("/v1/chat/completions", json={**about, "messages": messages, "stop": ["\n\n"]})
        plain = http.post("/v1/completions", json={**about, "prompt": "Is the sea", "echo": True}).json()
    first, second = (choice["text"] for choice in texts.json()["choices"])
    assert first == second != ""
    assert dialogue.json()["choices"][0]["message"]["content"]
    assert plain["choices"][0]["text"].startswith("Is the sea")
    assert plain["choices"][0]["logprobs"] is None
