"""The streams of the stub of vLLM: a token an event, drawn by the engine's own batch."""

from collections.abc import Iterator
from typing import Any

import torch

from alignloop.core.models import vocabulary_of
from alignloop.core.tokens import TokenRules
from alignloop.serving.batch import Row, RunningBatch
from alignloop.serving.sampling import Sampling


def choices(stub: Any, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The choices of a stream's events, a token each, with raw log-probabilities."""
    prompt, limit = body["prompt"], body["max_tokens"]
    allowed = torch.ones(vocabulary_of(stub.model), dtype=torch.bool)
    allowed[[int(token) for token in body.get("logit_bias", {})]] = False
    rules = TokenRules(allowed, body["stop_token_ids"][0], 0)
    row = Row(tuple(prompt), Sampling(body["temperature"], body["top_p"], limit, body["seed"]))
    batch = RunningBatch(stub.model, rules)
    ids: list[int] = []
    while not ids or (len(ids) < limit and ids[-1] != rules.end):
        with stub.lock:
            drawn = batch.step() if ids else batch.add([row])
            ids.append(drawn[0].token)
            told = _told(stub, body, ids, rules) if body["logprobs"] is not None else None
        is_last = ids[-1] == rules.end or len(ids) == limit
        reason = ("stop" if ids[-1] == rules.end else "length") if is_last else None
        choice = {"index": 0, "text": "", "logprobs": told, "finish_reason": reason}
        about = {"prompt_token_ids": prompt} if len(ids) == 1 else {}
        yield choice | about | {"token_ids": ids[-1:]}


@torch.no_grad()
def _told(stub: Any, body: dict[str, Any], ids: list[int], rules: TokenRules) -> dict[str, Any]:
    """The log-probabilities of the last token, and before the first those of the prompt, if echoed."""
    row = [*body["prompt"], *ids]
    logits = stub.model(input_ids=torch.tensor([row[:-1]])).logits[0].float()
    if stub.faults.processed:
        logits = logits.masked_fill(~rules.allowed, float("-inf")) / body["temperature"]
    logprobs = torch.log_softmax(logits, -1)
    first = 0 if body["echo"] and len(ids) == 1 else len(row) - 1
    told: dict[str, Any] = {"tokens": [], "token_logprobs": [], "top_logprobs": []}
    for place in range(first, len(row)):
        told["tokens"].append(f"token_id:{row[place]}")
        if place == 0:
            told["token_logprobs"].append(None)
            told["top_logprobs"].append(None)
            continue
        line = logprobs[place - 1]
        named = {*line.topk(body["logprobs"]).indices.tolist(), row[place]}
        told["token_logprobs"].append(float(line[row[place]]))
        top = {f"token_id:{token}": max(float(line[token]), -9999.0) for token in named}
        told["top_logprobs"].append(top)
    return told
