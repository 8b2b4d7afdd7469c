"""Requests for a row's response or its score to vLLM's `/v1/completions`, and the check of what comes back.

Token ids go in and come out. Every value that a server could fill in from a checkpoint's generation_config
is stated. A reply that is not exactly what was asked for is refused; nothing is dropped or filled up.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from alignloop.core.tokens import TokenRules
from alignloop.inference.http_client import SamplerError

PATH = "/v1/completions"
BIAS = -100  # vLLM's lowest: e⁻¹⁰⁰ is no probability in fp32
MOST_NAMED = 1024  # tokens in logit_bias or allowed_token_ids: MAX_NUM_LOGIT_BIAS_TOKENS in vLLM


class BadReply(Exception):
    """Why a reply is not what was asked for."""


@dataclass(frozen=True)
class Drawn:
    """One response: its ids with the end token, their log-probabilities (R,), and whether it ended."""

    ids: list[int]
    logprobs: Tensor
    ended: bool


def restriction(rules: TokenRules) -> dict[str, Any]:
    """How a request names the allowed tokens: by the forbidden ones, or by the allowed ones.

    Raises SamplerError where both are too many.
    """
    forbidden = (~rules.allowed).nonzero().flatten().tolist()
    if len(forbidden) <= MOST_NAMED:
        return {"logit_bias": {str(token): BIAS for token in forbidden}} if forbidden else {}
    allowed = rules.allowed.nonzero().flatten().tolist()
    if len(allowed) <= MOST_NAMED:
        return {"allowed_token_ids": allowed}
    raise SamplerError(
        f"rollout.engine: vllm takes at most {MOST_NAMED:,} forbidden tokens with a request, and this "
        f"checkpoint has {len(forbidden):,} that no response may contain (special tokens, and rows without a "
        "token); set rollout.engine: own"
    )


def draw_settings(model: str, rules: TokenRules, temperature: float, max_new_tokens: int) -> dict[str, Any]:
    """What the requests for all responses share; each has a prompt and a seed of its own besides."""
    return {
        "model": model,
        "n": 1,
        "temperature": temperature,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": max_new_tokens,
        "min_tokens": 0,
        "stop_token_ids": [rules.end],
        "ignore_eos": True,  # what else a checkpoint ends at does not end a response here
        "logprobs": 0,
        "return_token_ids": True,
        "skip_special_tokens": False,
        **restriction(rules),
    }


def score_request(model: str, row: Sequence[int]) -> dict[str, Any]:
    """The request for the log-probability of each token of a row after the first.

    vLLM gives these at temperature 1, over the whole vocabulary, in every mode.
    """
    return {
        "model": model,
        "prompt": list(row),
        "n": 1,
        "max_tokens": 1,
        "temperature": 1.0,
        "prompt_logprobs": 0,
        "return_token_ids": True,
    }


def read_draw(reply: Any, prompt: Sequence[int], rules: TokenRules, max_new_tokens: int) -> Drawn:
    """The response in a reply. Raises BadReply."""
    choice = _choice(reply, prompt)
    ids = choice.get("token_ids")
    if not _are_ids(ids) or not ids:
        raise BadReply(f"token_ids is {_short(ids)}, where the response's token ids were expected")
    ended, reason = ids[-1] == rules.end, choice.get("finish_reason")
    if rules.end in ids[:-1] or len(ids) > max_new_tokens:
        raise BadReply(
            f"{len(ids)} tokens came, beyond the end token or decoding.max_new_tokens ({max_new_tokens})"
        )
    if not ended and len(ids) < max_new_tokens:
        raise BadReply(
            f"the response was cut after {len(ids)} of {max_new_tokens} tokens, without the end token "
            f"(finish_reason {reason!r})"
        )
    wrong = [token for token in ids if token >= len(rules.allowed) or not rules.allowed[token]]
    if wrong:
        raise BadReply(f"token {wrong[0]} was drawn, which no response may contain")
    logprobs = choice.get("logprobs")
    values = logprobs.get("token_logprobs") if isinstance(logprobs, Mapping) else None
    return Drawn(ids, _logprobs(values, len(ids)), ended)


def read_score(reply: Any, row: Sequence[int]) -> Tensor:
    """The log-probabilities (T − 1,) of the row's tokens after the first. Raises BadReply."""
    values = _choice(reply, row).get("prompt_logprobs")
    if not isinstance(values, list) or len(values) != len(row):
        raise BadReply(f"prompt_logprobs is {_short(values)}, where {len(row)} were expected")
    found = []
    for token, value in zip(row[1:], values[1:], strict=True):
        entry = value.get(str(token)) if isinstance(value, Mapping) else None
        if not isinstance(entry, Mapping):
            raise BadReply(f"prompt_logprobs lacks token {token}")
        found.append(entry.get("logprob"))
    return _logprobs(found, len(row) - 1)


def _choice(reply: Any, prompt: Sequence[int]) -> Mapping[str, Any]:
    """The only choice of a reply, which must be about this prompt."""
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], Mapping):
        count = len(choices) if isinstance(choices, list) else "no"
        raise BadReply(f"{count} responses came, 1 was asked for")
    echoed = choices[0].get("prompt_token_ids")
    if echoed != list(prompt):
        raise BadReply(f"it is about another prompt: {_short(echoed)} instead of {_short(list(prompt))}")
    return choices[0]


def _logprobs(values: Any, count: int) -> Tensor:
    if not isinstance(values, list) or len(values) != count:
        had = len(values) if isinstance(values, list) else "no"
        raise BadReply(f"{had} log-probabilities came with {count} tokens")
    if any(type(value) not in (int, float) or not math.isfinite(value) or value > 1e-3 for value in values):
        raise BadReply(f"log-probabilities must be finite and at most 0, got {_short(values)}")
    return torch.tensor(values, dtype=torch.float32)


def _are_ids(ids: Any) -> bool:
    return isinstance(ids, list) and all(type(token) is int and token >= 0 for token in ids)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
